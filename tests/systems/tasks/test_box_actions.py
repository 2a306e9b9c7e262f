"""Real actions of Gymnasium's environments: of a Box, flat, and as agents give them."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import gym

BOXES = {
    "finite": spaces.Box(np.float32([-2, 0]), np.float32([2, 10])),
    "float64": spaces.Box(np.array([-1e300, 1.0]), np.array([1e300, 3.0]), dtype=np.float64),
    "endless": spaces.Box(-np.inf, np.inf, (2,)),
    "half": spaces.Box(np.float32([0, -np.inf]), np.float32([np.inf, 5])),
    "integers": spaces.Box(np.array([0, -5]), np.array([10, 5]), dtype=np.int64),
}


class Asked(gymnasium.Env):
    """Keeps its actions."""

    observation_space = spaces.Box(-1, 1, (3,))

    def __init__(self, box: spaces.Box) -> None:
        self.action_space, self.acted = box, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.acted.append(np.array(action))
        return np.zeros(3, np.float32), 0.0, False, False, {}


def acted(box: spaces.Box, actions: list[list[float]]) -> np.ndarray:
    env = gym.Tensors(SyncVectorEnv([lambda: Asked(box)]))
    env.reset()
    assert env.action_size == 2
    assert not hasattr(env, "actions")
    for action in actions:
        env.step(torch.tensor([action]))
    return np.stack(env.envs.envs[0].acted)


def test_limits_are_one_and_beyond_them_is_cut():
    given = [[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5], [-3.0, 7.0]]
    wanted = [[-2, 0], [2, 10], [0, 7.5], [-2, 10]]
    found = acted(BOXES["finite"], given)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32(wanted))
    wide = acted(BOXES["float64"], given)
    np.testing.assert_array_equal(wide[:, 0], [-1e300, 1e300, 0, -1e300])
    np.testing.assert_array_equal(wide[:, 1], [1, 3, 2.5, 3])
    whole = acted(BOXES["integers"], [*given, [0.58, 0.29], [0.62, 0.31]])
    wanted = [[0, -5], [10, 5], [5, 2], [0, 5], [8, 1], [8, 2]]  # the nearest, halves to even
    np.testing.assert_array_equal(whole, wanted)


def test_without_limits_actions_are_as_they_are():
    given = [[-30.0, 0.25], [2.0, 7.0]]
    np.testing.assert_array_equal(acted(BOXES["endless"], given), np.float32(given))
    np.testing.assert_array_equal(acted(BOXES["half"], given), [[0, 0.25], [2, 5]])


@pytest.mark.parametrize("box", BOXES)
def test_every_action_is_one_of_the_environment(box):
    """Its own assertion: roundings at the limits do not leave it."""
    generator = torch.Generator().manual_seed(0)
    acted(BOXES[box], torch.randn(300, 2, generator=generator).tolist())


def test_actions_become_flat():
    box = spaces.Box(np.float32([[0, 1], [2, 3]]), np.float32([[4, 5], [6, 7]]))
    env = gym.Flat(Asked(box))
    np.testing.assert_array_equal(env.action_space.low, [0, 1, 2, 3])
    np.testing.assert_array_equal(env.action_space.high, [4, 5, 6, 7])
    env.reset()
    env.step(np.float32([1, 2, 3, 4]))
    np.testing.assert_array_equal(env.unwrapped.acted, [[[1, 2], [3, 4]]])
    for wrong in (np.float32([1, 2, 3]), np.float32([9, 2, 3, 4]), 1):
        with pytest.raises(ValueError, match=r"action must be in Box\(.*, got"):
            env.step(wrong)
    with pytest.raises(TypeError, match=r"in a Box \(n,\), got Box[\s\S]* Flat makes others so"):
        gym.Tensors(SyncVectorEnv([lambda: Asked(box)]))
    assert gym.batched(lambda: Asked(box), 2).action_size == 4


def test_what_is_no_action_is_refused():
    env = gym.batched(lambda: Asked(BOXES["finite"]), 3)
    env.reset()
    with pytest.raises(ValueError, match=r"action must have shape \(3, 2\), got \(3,\)"):
        env.step(torch.zeros(3))
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="action must be finite, got NaN or infinity"):
            env.step(torch.full((3, 2), wrong))
    env.step(torch.zeros(3, 2, dtype=torch.bfloat16))  # as a policy in 16 bits draws them


def test_an_agent_of_pendulum_goes_on_with_the_same_bits():
    """Gymnasium's own, its environments pickled."""

    def made(seed: int) -> agents.PPO:
        torch.manual_seed(0)
        env = gym.batched(lambda: gymnasium.make("Pendulum-v1"), 3, seed=seed)
        policy = agents.Policy(nn.MinGRU(3, 8, batch_first=True), action_size=1)
        settings = agents.PPOSettings(iterations=4, steps=60)
        return agents.PPO(policy, env, settings, seed=seed)

    one = made(1).train(iterations=2)
    state = one.state_dict()
    other = made(2)
    other.load_state_dict(state)
    one.train()
    other.train()
    for x, y in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert x.equal(y)
    assert not one.policy.log_variance.equal(torch.zeros(1))
