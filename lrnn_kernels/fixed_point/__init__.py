"""The spiking recurrent cell in integers, bit for bit what an FPGA computes; needs NumPy only, not
torch.

network = Network([quantize(weights, 16)])                 # (100, 784) floats -> "5-bit" integers
network.classify(images, frames=55, seed=0).labels         # (N,784) grey levels -> (N,) digits
stimulus = traces(images[:1], frames=55, seed=0)           # the very input spikes of that call, for
                                                           a test bench
write_vcd("neurons.vcd", network.states(stimulus))         # what every neuron did in every step,
                                                           for a waveform viewer

1.0 is 1024 and shifts round down. In every step, for every neuron:

    I    <- I - ((I>>4) + (I>>5)) + sum of the weights of the inputs that spike      |I| <= 30000,
         else OverflowError
    X     = +1023 if I > 0 else -1024
    z     = 900 if h < 500 else 100
    u     = X + 2 (h - 4 h_s - 3000)
    h    <- clip((3u) >> 2, -1024, 1023)
    h_s  <- clip(h + (((h_s - h) z) >> 10), -800, 1023)                              with the old h
         and the old h_s
    spike = h >= 512                                                                 with the new h

All states start at 0. In a stack, a layer's spikes are the next layer's inputs in the same step.
Read-out: a spike of neuron j of the last layer adds 10 to the accumulator of class j mod 10 and
takes 1 from the other nine; the first largest wins.

``backend="cpu"`` is compiled C++ (SIMD, threads); ``backend="reference"`` is ``reference.py``: the
same bits from readable NumPy, with no compiler. Source: the FPGA form of the SRC, a spiking
recurrent cell (Liège).

A second network is of first-quadrant BMRUs, bits that two thresholds switch:
``HysteresisNetwork``, with its equations in ``hysteresis.py``, and ``from_fq_bmru`` to make one of
an ``nn.FQBMRU``. ``write_vhdl`` writes both as circuits.
"""

from .coding import Traces, traces
from .export import from_fq_bmru, from_src
from .hysteresis import (
    HysteresisLayer,
    HysteresisNetwork,
    HysteresisStates,
    Outcome,
    ReadOut,
    UnitStates,
)
from .network import Classification, Network, NetworkStates, States, neurons
from .quantization import Quantized, quantize
from .vhdl import verify_vhdl, write_vhdl
from .waveforms import write_csv, write_vcd

__all__ = [
    "Classification",
    "HysteresisLayer",
    "HysteresisNetwork",
    "HysteresisStates",
    "Network",
    "NetworkStates",
    "Outcome",
    "Quantized",
    "ReadOut",
    "States",
    "Traces",
    "UnitStates",
    "from_fq_bmru",
    "from_src",
    "neurons",
    "quantize",
    "traces",
    "verify_vhdl",
    "write_csv",
    "write_vcd",
    "write_vhdl",
]
