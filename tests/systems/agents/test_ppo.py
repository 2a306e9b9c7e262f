"""PPO: what it keeps, when it stops, and that it learns."""

import itertools
import signal
import subprocess
import sys

import pytest
import torch

from lrnn_kernels import agents, nn
from lrnn_kernels.agents import nested
from lrnn_kernels.tasks import horizon, t_maze
from tests import ROOT

from . import cases

PLAIN = {"steps": 11, "iterations": 6}
#: What a run depends on, in other ways.
RUNS = {
    "plain": ("GRU", PLAIN),
    "minibatches": ("LRU>BRC", {**PLAIN, "minibatches": 3}),
    "annealed": ("BMRU", {**PLAIN, "anneal": (0.3, 0.4)}),
    "torch": ("torch LSTM", {**PLAIN, "kl": None}),
    "side by side": ("LRU|GRU", {**PLAIN, "kl": 1e-3}),
}
every_run = pytest.mark.parametrize("run", RUNS)


def made(run: str, seed: int = 4, env_seed: int = 9) -> agents.PPO:
    network, settings = RUNS[run]
    policy = cases.policy(network)
    env = agents.PreviousActionReward(cases.mazes(5, seed=env_seed))
    policy = agents.Policy(cases.NETWORKS[network](9), 4) if run == "plain" else policy
    torch.manual_seed(3)
    for p in policy.parameters():
        torch.nn.init.uniform_(p, -0.6, 0.6)
    env = env if run == "plain" else env.env
    return agents.PPO(policy, env, agents.PPOSettings(**settings), seed=seed)


@every_run
def test_it_goes_on_with_the_same_bits(run, tmp_path):
    one, told = made(run), []
    one.train(iterations=3)
    state = cases.through_a_file(one.state_dict(), tmp_path / "state.pt")
    one.train(told.append)
    other, again = made(run, seed=5, env_seed=123), []
    other.load_state_dict(state)
    other.train(again.append)
    assert [progress.iteration for progress in told] == [4, 5, 6]
    assert told == again
    assert cases.same(one.state_dict(), other.state_dict())


@every_run
def test_a_state_is_a_copy(run):
    agent = made(run).train(iterations=2)
    state = agent.state_dict()
    before = nested.copied(state)
    agent.train(iterations=2)
    assert cases.same(state, before)
    assert not cases.same(state, agent.state_dict())


def test_seeds():
    def weights(*seeds: int) -> list[torch.Tensor]:
        return list(made("minibatches", *seeds).train().policy.parameters())

    first = weights(4, 9)
    assert cases.same(first, weights(4, 9))
    assert not cases.same(first, weights(5, 9))
    assert not cases.same(first, weights(4, 10))


def test_epochs_end_where_the_policy_has_moved():
    def epochs(**settings) -> list[tuple[int, float]]:
        policy, told = cases.policy(), []
        agents.PPO(policy, cases.mazes(5), agents.PPOSettings(**PLAIN, **settings)).train(
            told.append
        )
        return [(progress.epochs, progress.kl) for progress in told]

    assert {n for n, _ in epochs(kl=1e-12)} == {1}  # the second epoch is not begun
    assert {n for n, _ in epochs(kl=1e-12, epochs=1)} == {1}
    assert {n for n, _ in epochs(kl=None)} == {4}
    some = epochs(kl=2e-3, lr=1e-2)
    assert {n for n, _ in some} > {4} or {n for n, _ in some} & {2, 3}
    assert all(kl <= 2e-3 for _, kl in some)
    assert max(kl for _, kl in epochs(kl=None, lr=1e-2)) > 2e-3


def test_a_step_within_the_first_epoch_is_made_however_far():
    """Minibatches of the first epoch are all taken."""
    settings = agents.PPOSettings(steps=11, iterations=1, minibatches=5, kl=1e-12)
    agent = agents.PPO(cases.policy(), cases.mazes(5), settings)
    count = [0]
    agent.optimizer.register_step_post_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    agent.train()
    assert count == [5]


def test_the_weights_that_did_best_are_kept():
    """Of a learning rate that spoils them: those that acted in the best window, at the end."""
    settings = agents.PPOSettings(iterations=8, steps=20, lr=0.2, kl=None)
    agent = agents.PPO(cases.policy(), cases.mazes(9), settings, seed=2)
    acted, told = [], []
    for _ in range(7):
        acted.append(nested.copied(agent.policy.state_dict()))
        agent.train(told.append, iterations=1)
    acted.append(nested.copied(agent.policy.state_dict()))
    agent.train(told.append)
    rewards = [progress.reward for progress in told]
    best = max(range(8), key=lambda k: (rewards[k], k))
    assert 0 < best < 7, "the case says nothing"
    assert agent.best[0] == rewards[best]
    assert cases.same(agent.policy.state_dict(), acted[best])


def test_no_weights_are_best_before_eps_is_zero():
    agent = made("annealed")
    agent.train(iterations=4)  # eps reaches 0 after the fourth
    assert agent.best is None
    agent.train(iterations=1)
    assert agent.best is not None
    assert agent.policy.rnn.eps == 0


@pytest.mark.parametrize(("count", "steps"), [(1, 1), (1, 7), (3, 1)])
def test_windows_as_small_as_can_be(count, steps):
    """Also those in which no step counts, or no episode ends."""
    told = []
    settings = agents.PPOSettings(iterations=40, steps=steps)
    agent = agents.PPO(cases.policy(), cases.mazes(count), settings).train(told.append)
    assert all(p.isfinite().all() for p in agent.policy.parameters())
    assert min(progress.episodes for progress in told) == 0
    assert all((progress.reward == progress.reward) == bool(progress.episodes) for progress in told)
    steps_that_count = [b.steps - a.steps for a, b in itertools.pairwise(told)]
    assert (0 in steps_that_count) == (count * steps == 1)


def test_the_state_that_is_carried_on_is_of_the_new_eps():
    agent, windows = made("annealed"), []
    walk = agent.walker.walk
    agent.walker.walk = lambda steps: windows.append(walk(steps)) or windows[-1]
    for _ in range(4):
        agent.train(iterations=1)
        window = windows[-1]
        with torch.no_grad():
            _, state = agent.policy.features(window.observation, window.start, window.reset)
        assert cases.same(state, agent.walker.state)
    assert agent.policy.rnn.eps < 1


def test_a_state_that_does_not_fit_changes_nothing():
    agent = agents.PPO(cases.policy(), cases.mazes(3), agents.PPOSettings(**PLAIN))
    other = agents.PPO(cases.policy(), cases.mazes(4), agents.PPOSettings(**PLAIN)).train()
    before = agent.state_dict()
    with pytest.raises(ValueError, match="state must be of 3 environments, as env, got 4"):
        agent.load_state_dict(other.state_dict())
    assert cases.same(agent.state_dict(), before)


def test_it_goes_on_in_another_environment():
    """As in a curriculum: another number of them, each at the beginning of an episode."""
    one = agents.PPO(cases.policy(), cases.mazes(3), agents.PPOSettings(**PLAIN)).train()
    longer = agents.PPOSettings(**{**PLAIN, "iterations": 9})
    env = cases.mazes(5, seed=2)
    other = agents.PPO(cases.policy(), env, longer)
    other.load_state_dict(one.state_dict(), env=False)
    assert other.walker.env is env
    assert cases.same(dict(other.policy.state_dict()), dict(one.policy.state_dict()))
    told = []
    other.train(told.append)
    assert [progress.iteration for progress in told] == [7, 8, 9]
    assert told[0].steps > one.steps


def test_a_state_without_an_environment():
    """Where the environment has no state to give."""
    one = agents.PPO(cases.policy(), cases.mazes(3), agents.PPOSettings(**PLAIN))
    one.walker.env.get_state = None  # not called
    state = one.train(iterations=2).state_dict(env=False)
    other = agents.PPO(cases.policy(), cases.mazes(3), agents.PPOSettings(**PLAIN))
    with pytest.raises(ValueError, match="no environment: load it with env=False"):
        other.load_state_dict(state)
    other.load_state_dict(state, env=False)
    assert other.train().iteration == 6


def test_a_finished_run_says_so():
    agent = agents.PPO(cases.policy(), cases.mazes(3), agents.PPOSettings(**PLAIN)).train()
    agent.train()  # nothing to do
    with pytest.raises(ValueError, match=r"iterations must be None, as all 6 .* are done, got 5"):
        agent.train(iterations=5)


class Interrupting:
    """Mazes in which Ctrl-C comes at some steps."""

    def __init__(self, env: t_maze.TMaze, at: tuple[int, ...]) -> None:
        self.env, self.at, self.count = env, at, 0
        for name in ("batch_size", "observation_size", "actions"):
            setattr(self, name, getattr(env, name))
        self.reset, self.get_state = env.reset, env.get_state

    def step(self, action, begin):
        self.count += 1
        if self.count in self.at:
            signal.raise_signal(signal.SIGINT)
        return self.env.step(action, begin)


def test_ctrl_c_loses_nothing():
    settings = agents.PPOSettings(steps=10, iterations=4)
    calm = agents.PPO(cases.policy(), cases.mazes(5), settings).train()
    env = Interrupting(cases.mazes(5), (15, 31))
    agent = agents.PPO(cases.policy(), env, settings)
    done = []
    while agent.iteration < 4:
        try:
            agent.train()
        except KeyboardInterrupt:
            done.append(agent.iteration)
    assert done == [2, 4]
    assert cases.same(agent.state_dict(), calm.state_dict())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_waits_for_nothing():
    env = Interrupting(cases.mazes(5), (3, 4))
    agent = agents.PPO(cases.policy(), env, agents.PPOSettings(steps=10, iterations=4))
    with pytest.raises(KeyboardInterrupt):
        agent.train()
    assert (agent.iteration, env.count) == (0, 4)


def test_another_handler_of_ctrl_c_stays(monkeypatch):
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        env = Interrupting(cases.mazes(5), (3,))
        agents.PPO(cases.policy(), env, agents.PPOSettings(steps=10, iterations=1)).train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [1]


def test_a_bmru_learns_to_wait_for_any_time():
    torch.manual_seed(1)
    policy = agents.Policy(nn.BMRU(4, 32, batch_first=True), 4, first=(1 / 2, 1 / 6, 1 / 6, 1 / 6))
    env = t_maze.TMaze(batch_size=128, seed=11_000)
    agent = agents.PPO(policy, env, agents.PPOSettings(iterations=60), seed=1).train()
    rewards, steps = agents.play(policy, t_maze.TMaze(batch_size=100, seed=5))
    assert rewards.min() == 4
    assert steps.max() <= 21
    assert {v.verdict for v in horizon.decide(policy, t_maze.LAB)} == {"proved"}
    assert agent.best[0] > 3.9


SETTINGS = {
    "iterations": (0, ValueError, "iterations must be at least 1, got 0"),
    "steps": (1.5, TypeError, "steps must be an int, got float"),
    "epochs": (True, TypeError, "epochs must be an int, got bool"),
    "minibatches": (-1, ValueError, "minibatches must be at least 1, got -1"),
    "lr": (0, ValueError, r"lr must be in \(0"),
    "last_lr": (1.5, ValueError, r"last_lr must be in \[0, 1\], got 1.5"),
    "gamma": (1.01, ValueError, r"gamma must be in \[0, 1\], got 1.01"),
    "lam": ("0.9", TypeError, "lam must be a number, got str"),
    "clip": (0.0, ValueError, r"clip must be in \(0"),
    "value": (-1.0, ValueError, r"value must be in \[0"),
    "entropy": (float("nan"), ValueError, r"entropy must be in \[0"),
    "last_entropy": (-0.1, ValueError, r"last_entropy must be in \[0"),
    "kl": (0.0, ValueError, r"kl must be in \(0"),
    "max_norm": (float("inf"), ValueError, "max_norm must be in"),
    "anneal": (0.3, TypeError, "anneal must be two numbers, .*got float"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_make_no_sense_are_refused(name):
    value, error, message = SETTINGS[name]
    with pytest.raises(error, match=message):
        agents.PPOSettings(**{name: value})


def test_what_does_not_fit_is_refused():
    policy, env = cases.policy(), cases.mazes(3)
    with pytest.raises(TypeError, match=r"policy must be an agents\.Policy or Actor, got GRU"):
        agents.play(policy.rnn, env)
    ppo = agents.PPO
    with pytest.raises(TypeError, match=r"policy must be an agents\.Policy, got GRU"):
        ppo(policy.rnn, env)
    with pytest.raises(ValueError, match="policy must have critic=True, got one without a critic"):
        ppo(cases.policy(critic=False), env)
    with pytest.raises(TypeError, match="settings must be PPOSettings, got dict"):
        ppo(policy, env, {})
    with pytest.raises(TypeError, match=r"env must be .*got Maze without batch_size.*step"):
        ppo(policy, t_maze.LAB)
    with pytest.raises(ValueError, match="policy must have observation_size = 6, as env, got 4"):
        ppo(policy, t_maze.TMaze(t_maze.consecutive(2), 3))
    with pytest.raises(ValueError, match="policy must have actions = 4, as env, got 3"):
        ppo(cases.policy(actions=3), env)
    with pytest.raises(ValueError, match="minibatches must be at most env's batch_size, 3, got 4"):
        ppo(policy, env, agents.PPOSettings(minibatches=4))
    with pytest.raises(TypeError, match="seed must be an int, got NoneType"):
        ppo(policy, env, seed=None)
    with pytest.raises(ValueError, match="model must contain a layer with eps"):
        ppo(policy, env, agents.PPOSettings(anneal=(0.3, 0.4)))
    with pytest.raises(ValueError, match=r"x must have shape \(B, T, 4\), got \(3, 4\)"):
        policy(torch.zeros(3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="x must have input_size = 4 channels, got 5"):
        policy.step(torch.zeros(3, 5, dtype=torch.float64))
    agent = ppo(policy, env, agents.PPOSettings(iterations=2))
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        agent.train(iterations=0)
    state = agent.state_dict()
    with pytest.raises(
        ValueError, match=r"state must have the keys anneal, best.*, got \['policy'\]"
    ):
        agent.load_state_dict({"policy": state["policy"]})
    other = ppo(policy, env, agents.PPOSettings(iterations=3, lr=1e-3))
    with pytest.raises(ValueError, match="of the same settings, got another lr"):
        other.load_state_dict(state)


KILLED = """
import os, sys, torch
from pathlib import Path
from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import t_maze
torch.set_num_threads(1)
torch.manual_seed(0)
file = Path(sys.argv[1])
policy = agents.Policy(nn.BRC(4, 8, batch_first=True), 4)
settings = agents.PPOSettings(iterations=6, steps=8)
agent = agents.PPO(policy, t_maze.TMaze(batch_size=4, seed=0), settings)
if file.exists():
    agent.load_state_dict(torch.load(file, weights_only=True))
def after(progress):
    torch.save(agent.state_dict(), file)
    if progress.iteration == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
agent.train(after)
"""


def test_a_training_that_is_killed_goes_on(tmp_path, monkeypatch):
    """In another process, from the last file that a callback wrote."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed.pt"), "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert torch.load(tmp_path / "killed.pt")["iteration"] == 3
    ended = []
    threads = torch.get_num_threads()
    for name in ("killed.pt", "whole.pt"):
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / name), "0"])
        exec(KILLED, scope := {})
        ended.append(scope["agent"].state_dict())
    torch.set_num_threads(threads)
    assert ended[0]["iteration"] == 6
    assert cases.same(*ended)
