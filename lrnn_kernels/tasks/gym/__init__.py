"""Gymnasium faces of the batched environments; importing this registers them.

import gymnasium, lrnn_kernels.tasks.gym
env = gymnasium.make("lrnn/TMaze-v0", maze=t_maze.passive(100))
envs = gymnasium.make_vec("lrnn/TMaze-v0", num_envs=1024)      # one environment of 1,024 mazes
envs = gymnasium.make_vec("lrnn/WindyReference-v0", num_envs=1024)           # of tasks.adaptation
env = gym.Tensors(envs)                          # any vector environment, for lrnn_kernels.agents
env = gym.batched(popgym.envs.repeat_previous.RepeatPreviousEasy, 16)        # any environments

Needs gymnasium 1.0 or later: pip install "lrnn-kernels[rl]". Raises ImportError without it.
"""

from ...extras import needs

with needs("lrnn_kernels.tasks.gym", "gymnasium", extra="rl"):
    import gymnasium

from ..adaptation import ENVIRONMENTS
from .adaptive import AdaptationEnv, AdaptationVectorEnv
from .faces import TMazeEnv, TMazeVectorEnv
from .flat import Flat
from .previous import PreviousActionReward, VectorPreviousActionReward
from .tensors import Tensors, batched

__all__ = [
    "AdaptationEnv",
    "AdaptationVectorEnv",
    "Flat",
    "PreviousActionReward",
    "TMazeEnv",
    "TMazeVectorEnv",
    "Tensors",
    "VectorPreviousActionReward",
    "batched",
]

gymnasium.register(
    "lrnn/TMaze-v0",
    entry_point="lrnn_kernels.tasks.gym:TMazeEnv",
    vector_entry_point="lrnn_kernels.tasks.gym:TMazeVectorEnv",
)
for _name in (environment.__name__ for environment in ENVIRONMENTS):
    gymnasium.register(
        f"lrnn/{_name}-v0",
        entry_point="lrnn_kernels.tasks.gym:AdaptationEnv",
        vector_entry_point="lrnn_kernels.tasks.gym:AdaptationVectorEnv",
        kwargs={"environment": _name},
    )
