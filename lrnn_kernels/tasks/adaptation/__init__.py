"""Tasks whose episodes hide something that only acting tells: agents have to adapt within each.

env = adaptation.WindyReference(1024, seed=0)
observation = env.reset()                                         # (B,2)
observation, reward, terminated, truncated = env.step(action)     # action (B,1)
env.hidden                                                        # what it is about, (B,1)

    MovingTarget    one dimension: the target is off by a hidden amount
    WindyReference  two: a wind blows in a hidden direction, roughly
    TwoReferences   two: which of two targets is good is hidden

Actions are real numbers, episodes end by their length alone. Gymnasium's faces of them are in
``tasks.gym``.

source   Vecoven, Ernst, Wehenkel and Drion, "Introducing neuromodulation in deep neural networks to
         learn adaptive behaviours", PLoS ONE 2020; its three benchmarks, restated
"""

from .moving_target import MovingTarget
from .two_references import TwoReferences
from .windy_reference import WindyReference

ENVIRONMENTS = (MovingTarget, WindyReference, TwoReferences)

__all__ = ["ENVIRONMENTS", "MovingTarget", "TwoReferences", "WindyReference"]
