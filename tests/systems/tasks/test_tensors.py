"""Gymnasium's environments as batches of tensors, and spaces as POPGym has them made flat."""

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import gym, t_maze

OBSERVATIONS = {
    "Discrete": spaces.Discrete(5),
    "Discrete from 2": spaces.Discrete(3, start=2),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3, 4]),
    "Tuple": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(4))),
    "Dict": spaces.Dict(seen=spaces.Box(-1, 1, (2, 2)), key=spaces.MultiBinary(3)),
    "Box": spaces.Box(-np.inf, np.inf, (3,), np.float64),
}
SIZES = {
    "Discrete": 5,
    "Discrete from 2": 3,
    "MultiDiscrete": 9,
    "Tuple": 6,
    "Dict": 7,
    "Box": 3,
}
ACTIONS = {
    "Discrete": spaces.Discrete(4),
    "Discrete from 1": spaces.Discrete(3, start=1),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiDiscrete from 1": spaces.MultiDiscrete([[2, 2], [3, 1]], start=[[1, 0], [5, 0]]),
}


class Shown(gymnasium.Env):
    """Shows random observations of a space, and is rewarded by the action of the step before, as
    the forms of POPGym are; seven steps long."""

    def __init__(self, seen="Discrete", acts="Discrete", steps: int = 7) -> None:
        self.observation_space, self.action_space = OBSERVATIONS[seen], ACTIONS[acts]
        self.steps = steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space = copy.deepcopy(self.observation_space)
            self.observation_space.seed(seed)
        self.time, self.acted = 0, []
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.acted.append(action)
        self.time += 1
        reward = int(np.sum(action))
        over = self.time == self.steps
        return self.observation_space.sample(), reward, over and self.time % 2 == 1, False, {}


@pytest.mark.parametrize("seen", OBSERVATIONS)
def test_observations_become_flat(seen):
    env = gym.Flat(Shown(seen))
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=3)
    assert env.observation_space.shape == observation.shape == (SIZES[seen],)
    assert observation.dtype == np.float32
    assert observation in env.observation_space
    other = Shown(seen)
    plain, _ = other.reset(seed=3)
    expected = spaces.flatten(other.observation_space, plain)
    np.testing.assert_array_equal(observation, expected.astype(np.float32))


@pytest.mark.parametrize("acts", ACTIONS)
def test_actions_become_one_number(acts):
    """Every action of the space is reached by one number each."""
    inner = Shown("Discrete", acts, steps=10**6)
    env = gym.Flat(inner)
    env.reset(seed=0)
    for action in range(int(env.action_space.n)):
        env.step(action)
    reached = [tuple(np.ravel(action).tolist()) for action in inner.acted]
    assert (
        len(set(reached))
        == len(reached)
        == {"Discrete": 4, "Discrete from 1": 3}.get(acts, 6 if acts == "MultiDiscrete" else 12)
    )
    assert reached == sorted(reached)
    for wrong in (-1, int(env.action_space.n), 0.5):
        with pytest.raises(ValueError, match=r"action must be in Discrete\(\d+\), got"):
            env.step(wrong)


@pytest.mark.parametrize("seen", ["Discrete", "Discrete from 2", "Box"])
def test_a_vector_environment_as_tensors(seen):
    """Observations, rewards and ends are its own; an episode begins by itself."""
    envs = SyncVectorEnv([lambda: Shown(seen)] * 3)
    env = gym.Tensors(SyncVectorEnv([lambda: Shown(seen)] * 3), seed=4)
    plain, _ = envs.reset(seed=4)

    def flat(x) -> np.ndarray:
        one = envs.single_observation_space
        return np.stack([spaces.flatten(one, y) for y in x]).astype(np.float32)

    observation, begin, kept = env.reset(), torch.zeros(3, dtype=torch.bool), []
    np.testing.assert_array_equal(observation, flat(plain))
    assert env.observation_size == observation.shape[1] == SIZES[seen]
    for step in range(20):
        action = torch.arange(3) + step % 2
        found = env.step(action, begin)
        plain, reward, terminated, truncated, _ = envs.step(action.numpy())
        np.testing.assert_array_equal(found[0], flat(plain))
        np.testing.assert_array_equal(found[1], reward.astype(np.float32))
        np.testing.assert_array_equal(found[2], terminated)
        np.testing.assert_array_equal(found[3], truncated)
        assert [x.dtype for x in found] == [torch.float32] * 2 + [torch.bool] * 2
        kept.append((found, [x.clone() for x in found]))
        begin = found[2] | found[3]
    for found, copies in kept:  # no later step has written into them
        assert all(map(torch.equal, found, copies))


def _trained(env, iterations: int = 4, state=None):
    torch.manual_seed(0)
    policy = agents.Policy(nn.GRU(env.observation_size, 6, batch_first=True), env.actions)
    agent = agents.PPO(policy, env, agents.PPOSettings(iterations=iterations, steps=9), seed=1)
    if state is not None:
        agent.load_state_dict(state)
    return agent


def test_an_agent_learns_the_same_through_gymnasium():
    """TMaze, its vector environment, and one of single mazes: the same bits."""
    ended = []
    for env in (
        t_maze.TMaze(batch_size=5, seed=8),
        gym.Tensors(gymnasium.make_vec("lrnn/TMaze-v0", num_envs=5), seed=8),
        gym.batched(lambda: gymnasium.make("lrnn/TMaze-v0"), 5, seed=8),
    ):
        ended.append(_trained(env).train().state_dict()["policy"])
    for other in ended[1:]:
        assert all(torch.equal(ended[0][name], other[name]) for name in other)


MADE = {
    "vector": lambda: gym.Tensors(gymnasium.make_vec("lrnn/TMaze-v0", num_envs=3), seed=2),
    "Tuple": lambda: gym.batched(lambda: Shown("Tuple", "MultiDiscrete"), 3, seed=2),
    "CartPole": lambda: gym.batched(lambda: gymnasium.make("CartPole-v1"), 3, seed=2),
}


@pytest.mark.parametrize("name", MADE)
def test_a_training_goes_on(name, tmp_path):
    one = _trained(MADE[name]()).train(iterations=2)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    one.train()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = _trained(MADE[name](), state=state).train()
    for (key, x), y in zip(one.policy.state_dict().items(), other.policy.parameters(), strict=True):
        assert torch.equal(x, y), key


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="envs must be a VectorEnv, got Shown"):
        gym.Tensors(Shown())
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
        with pytest.raises(
            ValueError, match=f"envs must have autoreset_mode NEXT_STEP, got {mode}"
        ):
            gym.Tensors(SyncVectorEnv([Shown], autoreset_mode=mode))
    with pytest.raises(TypeError, match=r"observations in a Box \(n,\) or Discrete, got Tuple"):
        gym.Tensors(SyncVectorEnv([lambda: Shown("Tuple")]))
    for acts in ("Discrete from 1", "MultiDiscrete"):
        with pytest.raises(TypeError, match="envs must have actions in a Discrete from 0 on or"):
            gym.Tensors(SyncVectorEnv([lambda acts=acts: Shown(acts=acts)]))
    bits = Shown()
    bits.action_space = spaces.MultiBinary(3)
    with pytest.raises(TypeError, match="env must have actions in a Discrete, MultiDiscrete or"):
        gym.Flat(bits)
    endless = Shown()
    endless.observation_space = spaces.Sequence(spaces.Discrete(2))
    with pytest.raises(TypeError, match="env must have observations of a fixed size, got Sequence"):
        gym.Flat(endless)
    env = gym.batched(Shown, 2, seed=0)
    action = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="step needs reset before it"):
        env.step(action)
    env.reset()
    with pytest.raises(ValueError, match=r"begin must be True where episodes are over.*\[1\]"):
        env.step(action, torch.tensor([False, True]))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        gym.batched(Shown, 0)
    with pytest.raises(TypeError, match=r"make must be a function .*, got str"):
        gym.batched("CartPole-v1", 4)
    with pytest.raises(TypeError, match="seed must be an int, got str"):
        gym.batched(Shown, 1, seed="0")
    env = gym.Tensors(
        gym.VectorPreviousActionReward(gymnasium.make_vec("lrnn/TMaze-v0", num_envs=2))
    )
    env.reset()
    with pytest.raises(TypeError, match=r"envs must be a SyncVectorEnv, or have get_state"):
        env.get_state()
    env = gym.batched(Shown, 1)
    env.reset()
    env.envs.envs[0].unwrapped.secret = lambda: 0
    with pytest.raises(TypeError, match="envs must hold what can be pickled, for its state"):
        env.get_state()
