"""Trains an agent with memory on a vector environment of Gymnasium, and proves what it learned.

    pip install "lrnn-kernels[rl]"
    python docs/examples/agent_in_gymnasium.py

The T-maze shows a cue, then a corridor; at its end the cue says where to turn. Trained on corridors
of 5 to 20 cells, the BMRU's policy is followed through all lengths at once, until its states recur.
"""

from __future__ import annotations

import argparse

import gymnasium
import torch

import lrnn_kernels.tasks.gym
from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import horizon, t_maze


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--iterations", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(0)
    env = lrnn_kernels.tasks.gym.Tensors(gymnasium.make_vec("lrnn/TMaze-v0", num_envs=128), seed=0)
    policy = agents.Policy(nn.BMRU(4, 32, batch_first=True), 4, first=(1 / 2, 1 / 6, 1 / 6, 1 / 6))
    ppo = agents.PPO(policy, env, agents.PPOSettings(iterations=args.iterations), seed=0)
    ppo.train(
        lambda done: done.iteration % 10 or print(f"{done.iteration}: reward {done.reward:.2f}")
    )
    far = t_maze.TMaze(t_maze.Maze(2000, 2000), 64, seed=0)
    rewards, _ = agents.play(policy, far)
    print(f"corridors of 2,000 cells: {rewards.eq(4).float().mean():.0%} right")
    for verdict in horizon.decide(policy, t_maze.LAB):
        print(verdict)


if __name__ == "__main__":
    main()
