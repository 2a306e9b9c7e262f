"""The actor-critic of real actions: its loss, its windows, how far it goes, and what it keeps."""

import itertools
import signal

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from lrnn_kernels import agents, models, nn
from lrnn_kernels.agents import nested
from lrnn_kernels.agents.actor_critic import _BETA
from lrnn_kernels.tasks import adaptation, t_maze

from . import cases

#: Episodes of 4 steps: they end and begin within a walk of 11.
PLAIN = {"iterations": 6, "steps": 11, "window": 4, "epochs": 3, "value_epochs": 2}
PLAIN |= {"value_batch": 2, "lr": 1e-3, "reward": 0.1, "observation": 0.2, "adapt_lr": True}
NETWORKS = ("NMD", "RNN", "torch", "stack")
every_network = pytest.mark.parametrize("network", NETWORKS)


def net(network: str, env, outputs) -> torch.nn.Module:
    n = env.observation_size
    before = env.action_size + 1 + n
    if network == "RNN":
        return models.RecurrentNet(cases.NETWORKS["GRU"](before + n), outputs, hidden=(6,))
    inner = {"NMD": "LRU>BRC", "torch": "torch LSTM", "stack": "LRU|GRU"}[network]
    memory = cases.NETWORKS[inner](before)
    return models.NMDNet(memory, n, outputs, modulators=3, hidden=(6,))


def made(
    network: str = "NMD", Environment=adaptation.MovingTarget, seed: int = 4, **settings
) -> agents.ActorCritic:
    torch.manual_seed(3)
    env = Environment(5, seed=9, steps=4)
    size = env.action_size
    actor, critic = net(network, env, (size, size)), net(network, env, 1)
    for p in itertools.chain(actor.parameters(), critic.parameters()):
        torch.nn.init.uniform_(p, -0.6, 0.6)
    given = agents.ActorCriticSettings(**{**PLAIN, **settings})
    return agents.ActorCritic(actor, critic, env, given, seed=seed)


def by_steps(agent: agents.ActorCritic, what: str, window, state) -> torch.Tensor:
    """A network's answers, (B,T,n), step by step through its own call."""
    network, outs = getattr(agent, what).net, []
    before = window.observation.shape[-1] - agent.walker.env.env.observation_size
    for t in range(window.observation.shape[1]):
        x = window.observation[:, t]
        given = (x[:, before:], x[:, :before]) if hasattr(network, "context_size") else (x,)
        out, state = network.step(*given, state, window.reset[:, t])
        outs.append(out if isinstance(out, torch.Tensor) else torch.cat(out, -1))
    return torch.stack(outs, 1)


@every_network
@pytest.mark.parametrize("Environment", [adaptation.MovingTarget, adaptation.TwoReferences])
def test_the_loss_and_its_gradient_are_the_equations(network, Environment):
    """Of a second walk, in which episodes end; computed step by step, with torch's distributions
    and a loop for the advantages; at weights that have moved, so that all terms count."""
    agent = made(network, Environment, window=100, gamma=0.9, lam=0.7, kl=1e-5)
    agent.train(iterations=1)
    agent.beta = 0.7
    window = agent.walker.walk(11)
    batch = agent._batch(window)
    values = by_steps(agent, "critic", window, agent.value_state)[..., 0].detach()
    old = by_steps(agent, "actor", window, window.start).detach()
    with torch.no_grad():
        for p in agent.actor.parameters():
            p.add_(0.02 * torch.randn_like(p))
    new = by_steps(agent, "actor", window, window.start)

    followed = torch.cat([window.observation, window.last[:, None]], 1)
    starts = torch.cat([window.reset, window.last_reset[:, None]], 1)
    after = agent.critic(followed, agent.value_state, starts)[0][:, -1, 0].detach()
    gain = torch.zeros(5, 11, dtype=torch.float64)
    for b in range(5):
        following, later = after[b], 0.0
        for t in reversed(range(11)):
            delta = 0.1 * window.reward[b, t] + 0.9 * following - values[b, t]
            later = delta + 0.9 * 0.7 * later * (not window.over[b, t])
            gain[b, t], following = later, values[b, t]
    counts = ~window.begins
    assert counts.sum() < counts.numel(), "no episode begins within"
    torch.testing.assert_close(batch["returns"][counts], (gain + values)[counts])
    chosen = gain[counts]
    chosen = (chosen - chosen.mean()) / (chosen.std(correction=0) + 1e-6)

    def normal(out: torch.Tensor) -> Normal:
        mean, log_variance = out[counts].chunk(2, -1)
        return Normal(mean, (log_variance - 1).div(2).exp())

    action = window.action[counts]
    ratio = (normal(new).log_prob(action) - normal(old).log_prob(action)).sum(-1).exp()
    kl = kl_divergence(normal(old), normal(new)).sum(-1).mean()
    assert kl > 2e-5
    expected = -(chosen * ratio).mean() + 0.7 * kl + 50 * (kl - 2e-5).relu() ** 2
    loss, found_kl = agent.loss(window, batch)
    torch.testing.assert_close((loss, found_kl), (expected, kl))
    parameters = list(agent.actor.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters)
    )


@every_network
def test_windows_carry_states_and_end_gradients(network):
    """Answers are those of the whole sequence; a gradient reaches the window's own first step and
    no further."""
    agent = made(network)
    agent.train(iterations=1)
    window = agent.walker.walk(11)
    x = window.observation.requires_grad_()
    reset = torch.zeros_like(window.reset)
    reset[1, 5] = True
    for reader, start in ((agent.actor, window.start), (agent.critic, agent.value_state)):
        whole, end = reader(x, start, reset)
        out, state = reader(x, start, reset, 4)
        torch.testing.assert_close((out, state), (whole, end))
        (dx,) = torch.autograd.grad(out[:, 7].sum(), x)
        assert (dx[:, :4] == 0).all()
        assert (dx[:, 4:8].abs().sum(-1) > 0)[0].all()
        assert (dx[1, 4:5] == 0).all()  # an episode began after it
        (dx,) = torch.autograd.grad(reader(x, start, reset)[0][:, 7].sum(), x)
        assert (dx[0, :4].abs().sum(-1) > 0).all()


@every_network
def test_the_states_that_are_carried_on_are_of_the_new_weights(network):
    agent, windows = made(network), []
    walk = agent.walker.walk
    agent.walker.walk = lambda steps: windows.append(walk(steps)) or windows[-1]
    values = None
    for _ in range(3):
        agent.train(iterations=1)
        x, reset = windows[-1].observation, windows[-1].reset
        with torch.no_grad():
            _, state = agent.actor(x, windows[-1].start, reset)
            _, values = agent.critic(x, values, reset)
        assert cases.same(state, agent.walker.state)
        assert cases.same(values, agent.value_state)


@pytest.mark.parametrize("adapt_lr", [False, True])
def test_a_step_that_goes_too_far_is_undone_to_the_bit(adapt_lr):
    agent = made(lr=1e-5, adapt_lr=adapt_lr)
    told = []
    agent.train(told.append, iterations=2)
    assert not any(progress.undone for progress in told)
    assert all(progress.epochs == 3 for progress in told)
    before = agent.state_dict()
    for group in agent.optimizer.param_groups:
        group["lr"] = 1e-5 * agent.lr_share
    kept = nested.copied(agent.optimizer.state_dict())
    agent.settings = agents.ActorCriticSettings(**{**PLAIN, "lr": 3.0, "adapt_lr": adapt_lr})
    share, beta = agent.lr_share, agent.beta
    agent.train(told.append, iterations=1)
    assert told[-1].undone
    assert (told[-1].epochs, told[-1].kl) == (0, pytest.approx(0.0, abs=1e-9))
    after = agent.state_dict()
    assert cases.same(after["actor"], before["actor"])
    assert cases.same(after["optimizer"]["state"], kept["state"])
    assert not cases.same(after["critic"], before["critic"])
    assert agent.beta == beta * 1.5
    assert agent.lr_share == (share / 1.5 if adapt_lr else 1.0)


def test_a_later_step_that_goes_too_far_leaves_the_earlier_ones():
    told = []
    agent = made(epochs=50, lr=1e-2, kl=1e-3)
    agent.train(told.append, iterations=1)
    assert told[0].undone
    assert 0 < told[0].epochs < 50
    assert 0 < told[0].kl <= 4e-3
    again = made(epochs=told[0].epochs, lr=1e-2, kl=1e-3).train(iterations=1)
    assert cases.same(dict(again.actor.net.state_dict()), dict(agent.actor.net.state_dict()))
    assert cases.same(again.optimizer.state_dict(), agent.optimizer.state_dict())


def test_beta_follows_how_far_it_moved():
    agent = made()
    for moved, factor in ((0.4, 1 / 1.5), (0.5, 1), (1.0, 1), (2.0, 1), (2.1, 1.5), (9.0, 1.5)):
        agent.beta, agent.lr_share = _BETA, 0.1
        agent._adapt(moved)
        assert agent.beta == pytest.approx(factor)
        assert agent.lr_share == pytest.approx(0.1 / factor)
    agent._adapt(float("nan"))
    assert agent.beta == pytest.approx(1.5**2)
    for moved, limit in ((0.0, 1 / 35), (9.0, 35.0)):
        for _ in range(30):
            agent._adapt(moved)
        assert agent.beta == limit
    for _ in range(99):
        agent._adapt(0.0)
    assert agent.lr_share == 1


@every_network
def test_it_goes_on_with_the_same_bits(network, tmp_path):
    one, told = made(network, lr=3e-2), []
    one.train(iterations=3)
    assert one.lr_share < 1 < one.beta, "the case says nothing"
    state = cases.through_a_file(one.state_dict(), tmp_path / "state.pt")
    one.train(told.append)
    other, again = made(network, seed=5, lr=3e-2), []
    other.load_state_dict(state)
    other.train(again.append)
    assert [progress.iteration for progress in told] == [4, 5, 6]
    assert told == again
    assert cases.same(one.state_dict(), other.state_dict())
    assert not cases.same(one.state_dict(), state)
    assert len(one.walks) == 3
    assert one.steps == 6 * 5 * 11 - 5 * (6 * 11 // 5)  # every fifth step begins an episode


def test_ctrl_c_loses_nothing():
    calm = made().train()
    agent, step, count = made(), adaptation.MovingTarget.step, itertools.count(1)
    env = agent.walker.env.env
    at, done = (15, 40), []

    def interrupted(action, begin):
        if next(count) in at:
            signal.raise_signal(signal.SIGINT)
        return step(env, action, begin)

    env.step = interrupted
    while agent.iteration < 6:
        try:
            agent.train()
        except KeyboardInterrupt:
            done.append(agent.iteration)
    assert done == [2, 4]
    assert cases.same(agent.state_dict(), calm.state_dict())


def test_an_actor_plays():
    """Greedily, or as it acted; in an environment of the same scales."""
    agent = made().train()
    env = adaptation.MovingTarget(7, seed=1, steps=9)
    env = agents.PreviousStep(env, reward=0.1, observation=0.2)
    rewards, steps = agents.play(agent.actor, env)
    assert rewards.shape == (7,)
    assert steps.eq(9).all()
    again, _ = agents.play(agent.actor, env, seed=1)
    assert not again.equal(rewards)
    with pytest.raises(ValueError, match="policy must have actions = 4, as env, got one with act"):
        agents.play(agent.actor, t_maze.TMaze(batch_size=2))
    with pytest.raises(ValueError, match="policy must have observation_size = 6, as env, got 4"):
        agents.play(agent.actor, agents.PreviousStep(adaptation.WindyReference(2)))


def test_it_reads_what_was_before():
    env = agents.PreviousStep(
        adaptation.WindyReference(3, seed=0, steps=2), reward=0.5, observation=0.1
    )
    first = env.reset()
    assert (first[:, :4] == 0).all()
    action = torch.full((3, 1), 0.3)
    second, reward, _, _ = env.step(action)
    expected = torch.cat([action, 0.5 * reward[:, None], first[:, 4:]], 1)
    assert second[:, :4].equal(expected)
    assert second[:, 4:].equal(0.1 * env.env._observe())
    env.step(action)
    state = env.get_state()
    begun, reward, _, _ = env.step(action, torch.ones(3).bool())
    assert (begun[:, :4] == 0).all()
    assert env.set_state(state)[:, :4].equal(state["before"])
    assert env.step(action, torch.ones(3).bool())[0].equal(begun)


SETTINGS = {
    "iterations": (0, ValueError, "iterations must be at least 1, got 0"),
    "window": (1.5, TypeError, "window must be an int, got float"),
    "value_walks": (0, ValueError, "value_walks must be at least 1, got 0"),
    "lr": (0, ValueError, r"lr must be in \(0"),
    "last_lr": (1.5, ValueError, r"last_lr must be in \[0, 1\], got 1.5"),
    "gamma": (1.0, ValueError, "gamma must be below 1"),
    "kl": (0.0, ValueError, r"kl must be in \(0"),
    "adapt_lr": (1, TypeError, "adapt_lr must be a bool, got int"),
    "observation": (0.0, ValueError, r"observation must be in \(0"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_make_no_sense_are_refused(name):
    value, error, message = SETTINGS[name]
    with pytest.raises(error, match=message):
        agents.ActorCriticSettings(**{name: value})


def test_what_does_not_fit_is_refused():
    env = adaptation.MovingTarget(2, seed=0)
    actor, critic = net("NMD", env, (1, 1)), net("NMD", env, 1)
    train = agents.ActorCritic
    with pytest.raises(TypeError, match=r"actor must be a network as models\.NMDNet .*got Linear"):
        train(torch.nn.Linear(1, 2), critic, env)
    with pytest.raises(ValueError, match="actor must have 2 outputs in all, got 1"):
        train(critic, critic, env)
    with pytest.raises(ValueError, match=r"critic must have 1 outputs in all, got \(1, 1\)"):
        train(actor, actor, env)
    with pytest.raises(ValueError, match="actor must have input_size = 2, got 1"):
        train(actor, critic, adaptation.WindyReference(2))
    bigger = models.RecurrentNet(nn.GRU(5, 3, batch_first=True), 2)
    with pytest.raises(ValueError, match="actor must have input_size = 4, got 5"):
        train(bigger, critic, env)
    with pytest.raises(ValueError, match=r"actor must have dropout=0, got 0\.1 in GRU"):
        train(models.NMDNet(nn.GRU(3, 4, 2, batch_first=True, dropout=0.1), 1, 2), critic, env)
    shared = net("NMD", env, 1)
    shared.modulator = actor.modulator
    with pytest.raises(ValueError, match="critic must share no parameters with actor"):
        train(actor, shared, env)
    with pytest.raises(TypeError, match=r"env must be .*got TMaze without action_size"):
        train(actor, critic, t_maze.TMaze(batch_size=2))
    with pytest.raises(TypeError, match="settings must be ActorCriticSettings, got dict"):
        train(actor, critic, env, {})
    with pytest.raises(TypeError, match="seed must be an int, got NoneType"):
        train(actor, critic, env, seed=None)
    agent = made()
    with pytest.raises(ValueError, match="of the same settings, got another lr"):
        agent.load_state_dict(made(lr=0.5).state_dict())
    with pytest.raises(ValueError, match="state must have the keys actor, beta, critic"):
        agent.load_state_dict({"actor": {}})


def test_it_goes_on_in_another_environment():
    one = made().train(iterations=2)
    other = made(seed=5)
    env = other.walker.env
    other.load_state_dict(one.state_dict(env=False), env=False)
    assert other.walker.env is env
    assert cases.same(dict(other.actor.net.state_dict()), dict(one.actor.net.state_dict()))
    assert other.train(iterations=1).iteration == 3
    with pytest.raises(ValueError, match="no environment: load it with env=False"):
        made().load_state_dict(one.state_dict(env=False))
