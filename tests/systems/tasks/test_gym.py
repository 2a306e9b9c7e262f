"""The environments' Gymnasium faces."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from lrnn_kernels.tasks import gym, t_maze
from tests import ROOT

NAME = "lrnn/TMaze-v0"
MAZES = {"lab": t_maze.LAB, "active": t_maze.active(9), "consecutive": t_maze.consecutive(2)}
every_maze = pytest.mark.parametrize("maze", MAZES.values(), ids=MAZES)


@every_maze
def test_gymnasium_finds_nothing_wrong(maze):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(NAME, maze=maze).unwrapped)


@every_maze
@pytest.mark.parametrize("previous", [False, True])
def test_faces_agree(maze, previous):
    """A vector of three is three single ones with seeds one apart, episode after episode."""
    envs = gymnasium.make_vec(NAME, num_envs=3, maze=maze)
    singles = [gymnasium.make(NAME, maze=maze) for _ in range(3)]
    if previous:
        envs = gym.VectorPreviousActionReward(envs)
        singles = [gym.PreviousActionReward(env) for env in singles]
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    seen, _ = envs.reset(seed=5)
    assert seen in envs.observation_space
    assert seen.shape == (3, (5 if previous else 0) + maze.observation_size)
    np.testing.assert_array_equal(seen, [e.reset(seed=5 + i)[0] for i, e in enumerate(singles)])
    rng, over, ended = np.random.default_rng(0), [False] * 3, 0
    for _ in range(150):
        actions = rng.choice([0, 0, 0, 0, 1, 2, 3], 3)
        seen, reward, terminated, truncated, _ = envs.step(actions)
        assert seen in envs.observation_space
        for i, env in enumerate(singles):
            begun = (env.reset()[0], 0.0, False, False) if over[i] else None
            one = begun or env.step(int(actions[i]))[:4]
            np.testing.assert_array_equal(seen[i], one[0])
            assert (reward[i], terminated[i], truncated[i]) == (np.float32(one[1]), *one[2:])
            over[i] = one[2] or one[3]
            ended += over[i]
    assert ended > 5


def test_without_autoreset():
    envs = gymnasium.make_vec(NAME, num_envs=2, maze=t_maze.Maze(2, 2), autoreset_mode="Disabled")
    envs = gym.VectorPreviousActionReward(envs)
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.array([0, 0]))
    seen, _, terminated, truncated, _ = envs.step(np.array([1, 2]))
    assert terminated.tolist() == [True, False]
    with pytest.raises(RuntimeError, match=r"step needs reset: episodes are over in mazes \[0\]"):
        envs.step(np.array([0, 0]))
    after, _ = envs.reset(options={"reset_mask": terminated | truncated})
    np.testing.assert_array_equal(after[1], seen[1])
    assert not after[0, :5].any()
    envs.step(np.array([0, 0]))


def test_states_go_back():
    env = gymnasium.make(NAME).unwrapped
    env.reset(seed=3)
    env.step(0)
    state = env.get_state()
    first = [env.step(a)[:4] for a in (0, 2, 0)]
    env.set_state(state)
    for a, one in zip((0, 2, 0), first, strict=True):
        again = env.step(a)[:4]
        np.testing.assert_array_equal(again[0], one[0])
        assert again[1:] == one[1:]
    envs = gymnasium.make_vec(NAME, num_envs=4).unwrapped
    seen, _ = envs.reset(seed=1)
    state = envs.get_state()
    envs.step(np.zeros(4, int))
    np.testing.assert_array_equal(envs.set_state(state), seen)


def test_wrong_arguments_are_refused():
    env = gymnasium.make(NAME).unwrapped
    env.reset(seed=0)
    for action in (4, -1, 1.5, "up"):
        with pytest.raises(ValueError, match=r"action must be an integer of 0 \.\.\. 3, got"):
            env.step(action)
    with pytest.raises(ValueError, match="render_mode must be None, got 'human'"):
        gym.TMazeEnv(render_mode="human")
    with pytest.raises(ValueError, match="autoreset_mode must be one of"):
        gym.TMazeVectorEnv(2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = gym.TMazeVectorEnv(2)
    with pytest.raises(ValueError, match=r"seed must be 2 integers, got \[1\]"):
        envs.reset(seed=[1])
    envs.reset(seed=[1, 2])
    with pytest.raises(TypeError, match="reset_mask must be an array of bool"):
        envs.reset(options={"reset_mask": [True, False]})
    with pytest.raises(TypeError, match=r"actions must be integers, got torch\.float64"):
        envs.step(np.zeros(2))
    with pytest.raises(TypeError, match="env must have actions in a Discrete"):
        gym.PreviousActionReward(gymnasium.make("Pendulum-v1"))


def test_previous_action_and_reward():
    env = gym.PreviousActionReward(gymnasium.make(NAME))
    seen, _ = env.reset(seed=0)
    assert env.observation_space.shape == (9,)  # as the lab's agent reads it
    assert not seen[:5].any()
    seen, *_ = env.step(t_maze.UP)
    assert seen[:5].tolist() == [0, 1, 0, 0, pytest.approx(-0.1)]
    seen, *_ = env.step(t_maze.RIGHT)
    assert seen.tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0]


def test_tasks_do_without_gymnasium():
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from lrnn_kernels.tasks import t_maze\n"
        "t_maze.TMaze(seed=0).reset()\n"
        "try: import lrnn_kernels.tasks.gym\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == (
        "lrnn_kernels.tasks.gym needs gymnasium: pip install 'lrnn-kernels[rl]'"
    ), done.stderr
