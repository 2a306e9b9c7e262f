"""How many states a network can hold: VAA, and the warm-up that raises it before training.

before = multistability.measure(net, sequences)          # 1/N: N sequences reach one attractor
done = multistability.warm_up(net, sequences)            # a hundred gradient steps
log = multistability.Log(net, sequences, every=50)       # log(step) in the training loop
net = multistability.double(nn.GRU, 1, 256, 2)           # for warm_up(net, ..., partial=True)
multistability.chrono_(net, T_max=300)                   # the initialization to compare with

``net`` is any layer of lrnn_kernels.nn, a Stack or Parallel of them, torch.nn.GRU, LSTM or RNN.
Source: Lambrechts, De Geeter, Vecoven, Ernst and Drion, "Warming up recurrent neural networks to
maximise reachable multistability greatly improves learning", Neural Networks, 2023.
"""

from .attractors import vaa, vaa_star
from .chrono import chrono_
from .double import double
from .holding import hold
from .log import Log
from .measuring import measure
from .warming import WarmUp, warm_up

__all__ = [
    "Log",
    "WarmUp",
    "chrono_",
    "double",
    "hold",
    "measure",
    "vaa",
    "vaa_star",
    "warm_up",
]
