"""How a call is made: its arguments checked, a backend chosen, run with gradients, run by the
readable loop, or explained."""
