"""Windows, and what PPO makes of them, beside plain loops over whole episodes."""

import itertools
import math

import pytest
import torch

from lrnn_kernels import agents
from lrnn_kernels.agents import nested
from lrnn_kernels.agents.actions import ONE_OF
from lrnn_kernels.agents.window import Walker, Window, advantages
from lrnn_kernels.tasks import t_maze

from . import cases

GAMMA, LAM = 0.9, 0.7


def walked(network: str, *, count: int = 6, windows: int = 2, steps: int = 23):
    """A PPO, and the last window that it walked; the state before it is carried."""
    policy = cases.policy(network)
    settings = agents.PPOSettings(steps=steps, gamma=GAMMA, lam=LAM)
    ppo = agents.PPO(policy, cases.mazes(count), settings, seed=1)
    for _ in range(windows):
        window = ppo.walker.walk(steps)
    assert window.begins.any(1).all()
    assert window.begins[:, 0].any() or window.reset[:, 0].any() or windows > 1
    return ppo, window


def pieces(window: Window, row: int) -> list[tuple[int, int]]:
    """From where to where each episode of an environment is seen, the observation at its end, or
    after the window, included."""
    T = window.reward.shape[1]
    resets = [t for t in range(T) if window.reset[row, t]]
    resets += [T] if window.last_reset[row] else []
    starts = sorted({0, *resets})
    return [(a, b) for a, b in zip(starts, [*starts[1:], T + 1], strict=True) if a < b]


def alone(policy, window: Window, row: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log probabilities and values of every observation of an environment, and the one after, each
    episode by itself from its own beginning, or from what was carried into the window."""
    x = torch.cat([window.observation[row], window.last[row][None]])
    found = []
    for start, stop in pieces(window, row):
        state = None
        if start == 0 and not window.reset[row, 0] and window.start is not None:
            state = nested.chosen(window.start, torch.tensor([row]))
        y, _ = policy.features(x[None, start:stop], state)
        found.append((policy.head(y)[0].log_softmax(-1), policy.critic(y)[0, :, 0]))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def gain(window: Window, row: int, t: int, values: torch.Tensor) -> float:
    """An advantage by its definition, a sum over the rest of the episode."""
    total, weight, T = 0.0, 1.0, window.reward.shape[1]
    while t < T:
        after = 0.0 if window.terminated[row, t] else values[t + 1].item()
        total += weight * (window.reward[row, t].item() + GAMMA * after - values[t].item())
        if window.over[row, t]:
            break
        weight *= GAMMA * LAM
        t += 1
    return total


@cases.every_network
def test_a_window_learns_what_its_episodes_do_one_by_one(network):
    """Advantages, and the gradient of every parameter, after a step that made ratios differ from
    1."""
    ppo, window = walked(network)
    policy, settings = ppo.policy, ppo.settings
    batch = ppo._batch(window, None)
    acted = [alone(policy, window, row) for row in range(len(window.reward))]
    acted = [(logs.detach(), values.detach()) for logs, values in acted]
    steps = [
        (row, t)
        for row in range(len(window.reward))
        for t in range(window.reward.shape[1])
        if not window.begins[row, t]
    ]
    gains = torch.tensor([gain(window, *step, acted[step[0]][1]) for step in steps]).double()
    returns = gains + torch.stack([acted[row][1][t] for row, t in steps])
    spread = (gains - gains.mean()).square().mean().sqrt() + 1e-6
    gains = (gains - gains.mean()) / spread
    rows, ts = map(list, zip(*steps, strict=True))
    torch.testing.assert_close(batch.gain[rows, ts], gains, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(batch.returns[rows, ts], returns, rtol=1e-5, atol=1e-6)

    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.03 * torch.randn(p.shape, generator=cases_generator(), dtype=p.dtype))
    parameters = list(policy.parameters())
    found = batch.losses(*ppo._evaluated(window, None), settings.clip)
    ours = torch.autograd.grad(found[0] + 0.5 * found[1] - 0.3 * found[2], parameters)
    now = [alone(policy, window, row) for row in range(len(window.reward))]
    total, moved = 0.0, 0.0
    for k, (row, t) in enumerate(steps):
        action = int(window.action[row, t])
        logs, values = now[row]
        ratio = (logs[t, action] - acted[row][0][t, action]).exp()
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        entropy = -(logs[t].exp() * logs[t]).sum()
        total = total - torch.min(ratio * gains[k], clipped * gains[k]) - 0.3 * entropy
        total = total + 0.5 * (values[t] - returns[k]) ** 2
        moved += (acted[row][0][t].exp() * (acted[row][0][t] - logs[t])).sum().item()
    theirs = torch.autograd.grad(total / len(steps), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert found[3].item() == pytest.approx(moved / len(steps), rel=1e-4)
    assert found[3].item() > 1e-5


def cases_generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@cases.every_network
def test_the_first_epoch_is_of_the_policy_that_acted(network):
    """What the scan says of a window is what ``step`` said on the way, from the carried state."""
    ppo, window = walked(network)
    policy, state, logits = ppo.policy, window.start, []
    with torch.no_grad():
        for t in range(window.reward.shape[1]):
            one, state = policy.step(window.observation[:, t], state, window.reset[:, t])
            logits.append(one)
        logs, _ = ppo._evaluated(window, None)
    acted = torch.stack(logits, 1).log_softmax(-1)
    torch.testing.assert_close(logs, acted, rtol=1e-9, atol=1e-12)
    assert cases.same(state, ppo.walker.state)


def made(reward, terminated=(), truncated=(), begins=()) -> Window:
    """One environment's window of these rewards."""
    T = len(reward)

    def at(places) -> torch.Tensor:
        return torch.tensor([[t in places for t in range(T)]])

    none, ends = torch.zeros(1, T), at((*terminated, *truncated))
    reset = at([t + 1 for t in begins])
    x, given = none[..., None], torch.tensor([reward])
    return Window(
        x, reset, at(begins), none.long(), given, at(terminated), ends, None, x[:, 0], reset[:, 0]
    )


def test_advantages_by_hand():
    """Terminated: nothing follows. Truncated: the value of the last observation does, which is
    seen at the step that begins the next episode. At the window's end: the value after it."""
    values = torch.tensor([[10.0, 20.0, 30.0, 40.0]])
    after = torch.tensor([50.0])
    ended = made([1.0, 2.0, 0.0, 3.0], terminated=[1], begins=[2])
    found = advantages(ended, values, after, GAMMA, LAM)[0]
    second, fourth = 2 - 20, 3 + 0.9 * 50 - 40
    first = 1 + 0.9 * 20 - 10 + 0.63 * second
    torch.testing.assert_close(found[[0, 1, 3]], torch.tensor([first, second, fourth]))
    cut = made([1.0, 2.0, 0.0, 3.0], truncated=[1], begins=[2])
    found = advantages(cut, values, after, GAMMA, LAM)[0]
    second = 2 + 0.9 * 30 - 20
    first = 1 + 0.9 * 20 - 10 + 0.63 * second
    torch.testing.assert_close(found[[0, 1, 3]], torch.tensor([first, second, fourth]))
    whole = advantages(made([1.0, 2.0, 5.0, 3.0]), values, after, GAMMA, LAM)[0]
    third = 5 + 0.9 * 40 - 30 + 0.63 * fourth
    torch.testing.assert_close(whole[2:], torch.tensor([third, fourth]))


def test_a_step_that_begins_an_episode_is_in_no_loss():
    ppo, window = walked("GRU")
    found = ppo._batch(window, None), ppo._evaluated(window, None)
    window.action[window.begins] = 3 - window.action[window.begins]
    window.reward[window.begins] = 1e3
    again = ppo._batch(window, None), ppo._evaluated(window, None)
    for (one, logs), (other, other_logs) in ((found, again),):
        rows = one.valid.bool()
        assert torch.equal(one.gain[rows], other.gain[rows])
        assert not torch.equal(one.gain, other.gain)
        assert torch.equal(
            torch.stack(one.losses(*logs, 0.2)), torch.stack(other.losses(*other_logs, 0.2))
        )


def test_sums_of_episodes_that_span_windows():
    walker = Walker(cases.policy(), cases.mazes(7), torch.Generator().manual_seed(2))
    sums, lengths = [0.0] * 7, [0] * 7
    for steps in (5, 1, 30, 12):
        window = walker.walk(steps)
        expected = []
        for t in range(steps):
            for row in range(7):
                if window.begins[row, t]:
                    sums[row], lengths[row] = 0.0, 0
                    continue
                sums[row] += window.reward[row, t].item()
                lengths[row] += 1
                if window.over[row, t]:
                    expected.append((round(sums[row], 4), lengths[row]))
        totals, counts = walker.ended(window)
        found = zip(totals.tolist(), counts.tolist(), strict=True)
        assert [(round(total, 4), count) for total, count in found] == expected
    assert expected


def test_actions_are_drawn_with_their_probabilities():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    counts = ONE_OF.draw(
        p.log().expand(40_000, 4) + 3.0, torch.Generator().manual_seed(0)
    ).bincount()
    assert ((counts / 40_000 - p).abs() < 5 * (p * (1 - p) / 40_000).sqrt()).all()


def test_first_probabilities():
    first = (1 / 2, 1 / 6, 1 / 6, 1 / 6)
    for hidden in (None, 7):
        policy = cases.policy("BMRU", first=first, hidden=hidden)
        logits, _ = policy.step(torch.zeros(4, dtype=torch.float64))
        torch.testing.assert_close(
            logits.softmax(-1), torch.tensor(first).double(), rtol=0.2, atol=0.05
        )
        last = policy.head if hidden is None else policy.head[-1]
        assert last.bias.tolist() == pytest.approx([math.log(p) for p in first], rel=1e-6)


def test_a_policy_acts_as_it_is_trained():
    """Also with another head, and for one observation without a batch."""
    policy = cases.policy("LRU>BRC", hidden=6)
    x = torch.randn(3, 9, 4, dtype=torch.float64)
    whole, last = policy(x)
    assert whole.shape == (3, 9, 4)
    assert [type(part).__name__ for part in policy.head] == ["Linear", "ReLU", "Linear"]
    state = None
    for t in range(9):
        one, state = policy.step(x[:, t], state)
        torch.testing.assert_close(one, whole[:, t])
    torch.testing.assert_close(state, last)
    assert policy.step(x[0, 0])[0].shape == (4,)
    assert t_maze.TMaze.actions == policy.actions


def test_the_state_that_is_carried_on_is_the_new_weights(monkeypatch):
    """What they make of the window, from what was carried into it."""
    ppo, _ = walked("GRU")
    windows, real = [], ppo.walker.walk
    monkeypatch.setattr(ppo.walker, "walk", lambda steps: windows.append(real(steps)) or windows[0])
    ppo.train(iterations=1)
    (window,) = windows
    with torch.no_grad():
        _, state = ppo.policy.features(window.observation, window.start, window.reset)
        old, _ = cases.policy("GRU").features(window.observation, window.start, window.reset)
    assert cases.same(ppo.walker.state, state)
    assert not torch.allclose(old[:, -1], state[-1])


def test_episodes_begin_where_their_first_observation_is():
    """One step after the one that only begins them, also from window to window."""
    walker = Walker(cases.policy(), cases.mazes(6), torch.Generator().manual_seed(2))
    windows = [walker.walk(steps) for steps in (9, 1, 25)]
    reset, begins, over, seen = (
        torch.cat([getattr(window, name) for window in windows], 1)
        for name in ("reset", "begins", "over", "observation")
    )
    assert torch.equal(begins[:, 1:], over[:, :-1])
    assert torch.equal(reset[:, 1:], begins[:, :-1])
    assert reset.sum() > 12
    assert (seen[reset][:, :2].sum(-1) == 1).all()  # the cue
    for window, after in itertools.pairwise(windows):
        assert torch.equal(window.last, after.observation[:, 0])
        assert torch.equal(window.last_reset, after.reset[:, 0])
