"""DRQN: its episodes, its targets, and how often it learns."""

import math
import signal

import pytest
import torch

from lrnn_kernels import agents, multistability, nn
from lrnn_kernels.agents.replay import Episode
from lrnn_kernels.tasks import t_maze

from . import cases

SMALL = {"episodes": 40, "updates": 2, "batch": 4, "capacity": 150, "target": 7}


def made(
    network: str = "GRU", count: int = 3, *, seed: int = 1, env_seed: int = 5, **settings
) -> agents.DRQN:
    policy = cases.policy(network, 9, critic=False)
    env = agents.PreviousActionReward(cases.mazes(count, seed=env_seed))
    return agents.DRQN(policy, env, agents.DRQNSettings(**{**SMALL, **settings}), seed=seed)


@cases.every_network
def test_the_loss_by_hand(network):
    """Of episodes one by one, with a target network that differs: y[t] = r[t] + gamma max Q'[t+1],
    and nothing after a step that ends an episode by itself."""
    agent = made(network)
    agent.collect(12, exploration=0.9)
    with torch.no_grad():
        for p in agent.target.parameters():
            p.add_(0.2)
    batch = agent.replay.draw(9, torch.Generator().manual_seed(3))
    chosen = torch.randint(
        len(agent.replay), (9,), generator=torch.Generator().manual_seed(3)
    ).tolist()
    assert {agent.replay.episodes[i].terminated for i in chosen} == {True, False}
    total, count = 0.0, 0
    targets = agent.targets(batch)
    for row, i in enumerate(chosen):
        episode = agent.replay.episodes[i]
        values, _ = agent.policy(episode.observation[None])
        with torch.no_grad():
            following, _ = agent.target(episode.observation[None])
        T = len(episode.action)
        assert episode.observation.shape == (T + 1, 9)
        for t in range(T):
            last = t == T - 1 and episode.terminated
            best = 0.0 if last else max(following[0, t + 1].tolist())
            y = episode.reward[t].item() + 0.98 * best
            assert targets[row, t].item() == pytest.approx(y, rel=1e-9)
            total = total + (values[0, t, int(episode.action[t])] - y) ** 2
            count += 1
    parameters = list(agent.policy.parameters())
    wanted = dict(zip("ab", (total / count, agent.loss_of(batch)), strict=True))
    torch.testing.assert_close(wanted["a"], wanted["b"])
    one, other = (torch.autograd.grad(loss, parameters) for loss in wanted.values())
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    assert all(p.grad is None for p in agent.target.parameters())


def test_episodes_are_what_happened():
    """Walked again in a maze of the same seed, each from its own actions."""
    agent = made(count=1, capacity=8192)
    agent.collect(25, exploration=0.6)
    env = agents.PreviousActionReward(cases.mazes(1, seed=5))
    seen, endings = env.reset(), set()
    for episode in agent.replay.episodes:
        assert not episode.observation[0, :5].any()
        for t, action in enumerate(episode.action):
            assert torch.equal(episode.observation[t], seen[0].double())
            seen, reward, terminated, truncated = env.step(action[None], torch.tensor([False]))
            assert episode.reward[t] == reward[0]
            over = bool(terminated[0] | truncated[0])
            assert over == (t == len(episode.action) - 1)
        assert torch.equal(episode.observation[-1], seen[0].double())
        assert episode.terminated == bool(terminated[0])
        endings.add(episode.terminated)
        seen, *_ = env.step(torch.tensor([0]), torch.tensor([True]))
    assert endings == {True, False}


def test_several_mazes_give_the_episodes_of_each():
    """Those of any maze of the batch are those of that maze walked alone."""
    agent = made(count=4, capacity=8192)
    agent.collect(30, exploration=0.6)
    found = 0
    for number in range(4):
        env = agents.PreviousActionReward(cases.mazes(1, seed=5 + number))
        seen = env.reset()
        for episode in agent.replay.episodes:
            state = env.get_state()
            rows = [seen[0]]
            for action in episode.action:
                seen, _, terminated, truncated = env.step(action[None])
                rows.append(seen[0])
                if terminated | truncated:
                    break
            if len(rows) == len(episode.action) + 1 and torch.equal(
                torch.stack(rows).double(), episode.observation
            ):
                found += 1
                seen, *_ = env.step(torch.tensor([0]), torch.tensor([True]))
            else:
                seen = env.set_state(state)
    assert found >= len(agent.replay)


def test_proportions_are_kept():
    """Ten updates an episode, also with several mazes; none before there are enough; a new target
    every so many episodes."""
    for count in (1, 5):
        agent, steps, same = made(count=count, updates=10, batch=6, target=8), [], []

        def after(progress, agent=agent, steps=steps, same=same):
            assert progress.episode == agent.episode
            assert math.isnan(progress.loss) == (agent.episode < 6)
            same.append(
                (
                    agent.episode,
                    cases.same(agent.policy.state_dict(), agent.target.state_dict()),
                )
            )

        agent.optimizer.register_step_post_hook(lambda *_, steps=steps: steps.append(1))
        agent.train(after, episodes=20)
        kept = len(agent.replay)
        assert len(steps) == 10 * (agent.episode - 5) if count == 1 else len(steps) % 10 == 0
        assert kept <= agent.episode
        if count == 1:
            assert [n for n, equal in same if equal and n >= 6] == [8, 16]
        else:
            assert 10 * (agent.episode - 5) <= len(steps) <= 10 * agent.episode


def test_the_oldest_are_given_up():
    replay = agents.Replay(10)
    x = torch.zeros(5, 2)
    for k in range(5):
        replay.add(Episode(x + k, torch.zeros(4, dtype=torch.int64), x[:4, 0], True))
    assert (len(replay), replay.steps) == (2, 8)
    assert [int(episode.observation[0, 0]) for episode in replay.episodes] == [3, 4]
    long = torch.zeros(30, dtype=torch.int64)
    replay.add(Episode(torch.zeros(31, 2), long, long.float(), False))
    assert (len(replay), replay.steps) == (1, 30)
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        agents.Replay(0)
    with pytest.raises(ValueError, match="replay must hold an episode before any is drawn, got no"):
        agents.Replay().draw(3, torch.Generator())


def test_collecting_ends_where_the_replay_is_full():
    agent = made()
    agent.collect(60)
    assert agent.replay.steps <= 150
    assert 0 < len(agent.replay) < 60
    assert agent.episode == 0


def test_exploration():
    values = torch.tensor([[0.0, 0, 0, 1]]).expand(30_000, 4)
    for given, each in (((1 / 2, 1 / 6, 1 / 6, 1 / 6),) * 2, (None, (1 / 4,) * 4)):
        agent = made(count=1, probabilities=given)
        counts = agent._chosen(values, 0.2).bincount() / 30_000
        expected = 0.2 * torch.tensor(each) + torch.tensor([0, 0, 0, 0.8])
        assert ((counts - expected).abs() < 0.01).all()
        assert (agent._chosen(values, 0.0) == 3).all()


@pytest.mark.parametrize("network", ["GRU", "LRU>BRC", "torch LSTM"])
def test_it_goes_on_with_the_same_bits(network, tmp_path):
    one, told = made(network), []
    one.collect(5)
    one.train(episodes=12)
    state = cases.through_a_file(one.state_dict(), tmp_path / "state.pt")
    one.train(told.append, episodes=15)
    other, again = made(network, seed=77, env_seed=123), []
    other.load_state_dict(state)
    other.train(again.append, episodes=15)
    assert told
    assert repr(told) == repr(again)
    assert cases.same(one.state_dict(), other.state_dict())
    with pytest.raises(ValueError, match="of the same settings, got another batch, lr"):
        made(network, batch=5, lr=1e-2).load_state_dict(state)


def test_a_state_that_does_not_fit_changes_nothing():
    agent, other = made(count=3), made(count=4).train(episodes=10)
    before = agent.state_dict()
    with pytest.raises(ValueError, match="state must be of 3 environments, as env, got 4"):
        agent.load_state_dict(other.state_dict())
    assert cases.same(agent.state_dict(), before)


def test_seeds():
    def weights(**seeds: int) -> list[torch.Tensor]:
        return list(made(**seeds).train(episodes=10).policy.parameters())

    first = weights()
    assert cases.same(first, weights())
    assert not cases.same(first, weights(seed=2))
    assert not cases.same(first, weights(env_seed=6))


def test_ctrl_c_loses_nothing():
    calm = made().train()
    agent, real, count = made(), agents.PreviousActionReward.step, [0]

    def step(self, action, begin):
        count[0] += 1
        if count[0] in (9, 40):
            signal.raise_signal(signal.SIGINT)
        return real(self, action, begin)

    agent.env.step = step.__get__(agent.env)
    stopped = 0
    while agent.episode < SMALL["episodes"]:
        try:
            agent.train()
        except KeyboardInterrupt:
            stopped += 1
    assert stopped == 2
    assert cases.same(agent.state_dict(), calm.state_dict())


def test_histories_warm_a_network():
    """As ``multistability.warm_up`` takes them; real observations only."""
    torch.manual_seed(0)
    policy = agents.Policy(nn.GRU(9, 16, 2, batch_first=True), 4, critic=False)
    env = agents.PreviousActionReward(t_maze.TMaze(batch_size=8, seed=0))
    agent = agents.DRQN(policy, env, seed=0)
    agent.collect(32)
    assert (agent.episode, len(agent.replay) >= 32) == (0, True)
    generator = torch.Generator().manual_seed(1)
    x = agent.replay.sequences(32, generator)
    assert x.shape[::2] == (32, 9)
    assert (x[..., 5:].sum(-1) == 1).all()
    done = multistability.warm_up(
        policy.rnn, lambda: agent.replay.sequences(32, generator), 20, generator=generator
    )
    assert len(done.moved) == 2


def test_it_learns():
    torch.manual_seed(0)
    policy = agents.Policy(nn.GRU(9, 24, batch_first=True), 4, critic=False)
    maze = t_maze.Maze(3, 3)
    env = agents.PreviousActionReward(t_maze.TMaze(maze, 8, seed=0))
    settings = agents.DRQNSettings(150, lr=3e-3, probabilities=(1 / 2, 1 / 6, 1 / 6, 1 / 6))
    agents.DRQN(policy, env, settings, seed=0).train()
    rewards, _ = agents.play(policy, agents.PreviousActionReward(t_maze.TMaze(maze, 40, seed=1)))
    assert rewards.mean() > 3.9


SETTINGS = {
    "episodes": (0, ValueError, "episodes must be at least 1, got 0"),
    "updates": (2.0, TypeError, "updates must be an int, got float"),
    "batch": (0, ValueError, "batch must be at least 1, got 0"),
    "capacity": (-3, ValueError, "capacity must be at least 1, got -3"),
    "target": (None, TypeError, "target must be an int, got NoneType"),
    "exploration": (1.2, ValueError, r"exploration must be in \[0, 1\], got 1.2"),
    "probabilities": ((0.5, 0.4), ValueError, "probabilities must have sum 1, got"),
    "lr": (0.0, ValueError, r"lr must be in \(0, 1\], got 0"),
    "gamma": (-0.1, ValueError, r"gamma must be in \[0, 1\], got -0.1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_make_no_sense_are_refused(name):
    value, error, message = SETTINGS[name]
    with pytest.raises(error, match=message):
        agents.DRQNSettings(**{name: value})


def test_what_does_not_fit_is_refused():
    env = agents.PreviousActionReward(cases.mazes(2))
    with pytest.raises(ValueError, match="policy must have critic=False, got one with a critic"):
        agents.DRQN(cases.policy("GRU", 9), env)
    with pytest.raises(ValueError, match="policy must have observation_size = 9, as env, got 4"):
        agents.DRQN(cases.policy(critic=False), env)
    settings = agents.DRQNSettings(probabilities=(0.5, 0.5))
    with pytest.raises(ValueError, match="probabilities must be 4, one for each action, got 2"):
        agents.DRQN(cases.policy("GRU", 9, critic=False), env, settings)
    with pytest.raises(ValueError, match="state must have the keys"):
        made().load_state_dict({})
    endless = cases.policy("GRU", 9, critic=False)
    with torch.no_grad():
        endless.head.bias.copy_(torch.tensor([0.0, 0, 99, 0]))  # to the left
    with pytest.raises(RuntimeError, match="2 episodes are not over after 3 steps"):
        agents.play(endless, env, most=3)


def test_it_goes_on_in_another_environment():
    one = made(count=3).train(episodes=8)
    other = made(count=4)
    other.load_state_dict(one.state_dict(env=False), env=False)
    assert other.episode == one.episode
    assert cases.same(dict(other.policy.state_dict()), dict(one.policy.state_dict()))
    assert len(other.replay) == len(one.replay)
    other.train(episodes=4)
    assert other.episode > one.episode
    with pytest.raises(ValueError, match="no environment: load it with env=False"):
        made(count=3).load_state_dict(one.state_dict(env=False))
