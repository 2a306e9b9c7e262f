"""The T-maze: a cue, a corridor of any length, and a junction where the cue decides.

``draw`` gives what an agent sees and should do as sequences, for cloning. ``TMaze`` is the
environment, batched in torch; ``lrnn_kernels.tasks.gym`` has its Gymnasium faces. A ``Maze`` says
which maze it is.

source   Bakker, "Reinforcement learning with long short-term memory", 2001; rewards and limit as in
         Lambrechts, De Geeter, Vecoven, Ernst and Drion, "Warming up recurrent neural networks to
         maximise reachable multistability greatly improves learning", Neural Networks, 2023
"""

from .cells import (
    CORRIDOR,
    DOWN,
    DOWN_CUE,
    GAPS,
    JUNCTION,
    LEFT,
    LOCAL_DOWN,
    LOCAL_UP,
    RIGHT,
    UP,
    UP_CUE,
)
from .environment import TMaze
from .maze import FLASHES, LAB, Maze, active, consecutive, passive
from .sequences import at_junction, cues, draw, metric
from .walks import walks

__all__ = [
    "CORRIDOR",
    "DOWN",
    "DOWN_CUE",
    "FLASHES",
    "GAPS",
    "JUNCTION",
    "LAB",
    "LEFT",
    "LOCAL_DOWN",
    "LOCAL_UP",
    "RIGHT",
    "UP",
    "UP_CUE",
    "Maze",
    "TMaze",
    "active",
    "at_junction",
    "consecutive",
    "cues",
    "draw",
    "metric",
    "passive",
    "walks",
]
