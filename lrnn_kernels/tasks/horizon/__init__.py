"""Whether a policy is optimal at every horizon: at any number of steps between a cue and the action
that needs it.

for verdict in horizon.decide(policy, t_maze.LAB):
    print(verdict)      # up: proved, period 1, by orbit after 64 steps (float32, batch 4, ...)
horizon.trace(policy, t_maze.LAB, range(1, 1000)).draw_margins(axes)
horizon.basins(policy, t_maze.LAB).draw(axes)          # the phase plane of two units

A policy is any module with ``step(observation, state) -> (logits, state)``. ``Corridor`` says what
is seen and what is right; every T-maze of one corridor has one.
"""

from .corridor import Corridor, Cue
from .decide import decide
from .trace import Basins, Trace, basins, trace
from .verdict import Form, Verdict

__all__ = ["Basins", "Corridor", "Cue", "Form", "Trace", "Verdict", "basins", "decide", "trace"]
