"""Agents with memory, in plain torch: recurrent PPO, the DRQN of the warm-up's paper, and for real
actions the actor-critic of the neuromodulated nets.

env = tasks.t_maze.TMaze(batch_size=128, seed=0)
policy = agents.Policy(nn.BMRU(4, 32, batch_first=True), 4)
agents.PPO(policy, env, agents.PPOSettings(iterations=60), seed=0).train()
rewards, steps = agents.play(policy, env)                   # one greedy episode in each maze

Environments are batches of tensors: ``tasks.t_maze.TMaze``, and with ``tasks.gym.Tensors`` any
vector environment of Gymnasium with flat observations and discrete actions; those of
``ActorCritic`` are ``tasks.adaptation``'s.
"""

from .actor_critic import ActorCritic, ActorCriticProgress, ActorCriticSettings
from .drqn import DRQN, DRQNProgress, DRQNSettings
from .environment import Environment, PreviousActionReward, PreviousStep, play
from .policy import Policy
from .ppo import PPO, PPOProgress, PPOSettings
from .replay import Replay

__all__ = [
    "DRQN",
    "PPO",
    "ActorCritic",
    "ActorCriticProgress",
    "ActorCriticSettings",
    "DRQNProgress",
    "DRQNSettings",
    "Environment",
    "PPOProgress",
    "PPOSettings",
    "Policy",
    "PreviousActionReward",
    "PreviousStep",
    "Replay",
    "play",
]
