"""What a T-maze shows and what can be done in it."""

from __future__ import annotations

#: What is seen, one-hot. Where the cue is two flashes, a flash is UP_CUE.
UP_CUE, DOWN_CUE, CORRIDOR, JUNCTION = range(4)
#: Where corridors follow each other, each shows a cue of its own in its first cell, too.
LOCAL_UP, LOCAL_DOWN = 4, 5
#: What can be done.
RIGHT, UP, LEFT, DOWN = range(4)
#: Cells from the first flash to the second: the arm to take, and the gaps that ask for it.
GAPS = {UP: (2, 3, 4), DOWN: (7, 8, 9)}
