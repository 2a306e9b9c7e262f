"""Tasks that hide something: against their rules in plain numbers, in any batch, as Gymnasium's."""

import math
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import lrnn_kernels.tasks.gym  # noqa: F401 - registers
from lrnn_kernels.tasks import adaptation
from lrnn_kernels.tasks.adaptation import MovingTarget, TwoReferences, WindyReference

every = pytest.mark.parametrize("Environment", adaptation.ENVIRONMENTS)


def actions(env, generator) -> torch.Tensor:
    """Half of them good ones, so that targets are reached."""
    drawn = torch.randn(env.batch_size, env.action_size, generator=generator).double()
    drawn = drawn * env.action_limit  # some beyond it
    good = torch.rand(env.batch_size, 1, generator=generator) < 0.5
    return torch.where(good, env.best(), drawn)


def test_a_moving_target_pays_what_it_says():
    env = MovingTarget(6, seed=3)
    shown, generator = env.reset(), torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(60):
        action = actions(env, generator)
        before, hidden = env.shown.clone(), env.hidden.clone()
        torch.testing.assert_close(shown, before.float())
        shown, reward, terminated, truncated = env.step(action)
        for b in range(6):
            aimed = min(max(5 * action[b, 0].item(), -20), 20)
            off = abs(before[b, 0].item() + hidden[b, 0].item() - aimed)
            expected = 10.0 if off < 1 else -min(off, 20.0)
            assert reward[b].item() == pytest.approx(expected, rel=1e-6)
            assert (env.shown[b] != before[b]).item() == (off < 1)
            hits += off < 1
        assert torch.equal(env.hidden, hidden)
        assert not terminated.any() | truncated.any()
    assert hits > 20
    assert env.hits.sum() == hits
    drawn = MovingTarget(4000, seed=0)
    drawn.reset()
    for x, high in ((drawn.hidden, 10), (drawn.shown, 5)):
        assert -high <= x.min() < -0.99 * high
        assert 0.99 * high < x.max() <= high
        assert abs(x.mean()) < 0.05 * high


def test_a_wind_carries_the_agent():
    env = WindyReference(5, seed=1)
    seen, generator = env.reset(), torch.Generator().manual_seed(0)
    gusts = []
    for _ in range(300):
        action, before = actions(env, generator), env.position.clone()
        torch.testing.assert_close(seen, (env.targets[:, 0] - before).float())
        hits = env.hits.clone()
        seen, reward, _, _ = env.step(action)
        for b in range(5):
            if env.hits[b] > hits[b]:
                assert reward[b] == 100
                assert (env.targets[b, 0] - env.position[b]).norm() >= 0.6
                continue
            assert reward[b] == -2
            step = 0.25 * np.exp(1j * math.pi * action[b, 0].item())
            moved = env.position[b] - before[b]
            moved = (moved + 2).remainder(4) - 2  # the short way round the torus
            wind = complex(*moved.tolist()) - step
            assert abs(wind) == pytest.approx(0.25, abs=1e-12)
            gusts.append(np.angle(wind / np.exp(1j * env.hidden[b, 0].item())))
        assert (env.position >= -2).all()
        assert (env.position <= 2).all()
    assert env.hits.sum() > 20
    assert -math.pi / 4 <= min(gusts) < -0.7
    assert 0.7 < max(gusts) <= math.pi / 4


def test_one_of_two_references_is_good():
    env = TwoReferences(64, seed=0)
    seen = env.reset()
    assert set(env.hidden.flatten().tolist()) == {0.0, 1.0}
    good = env.hidden[:, 0].long()
    generator, rewards = torch.Generator().manual_seed(0), []
    for t in range(200):
        torch.testing.assert_close(
            seen, (env.targets - env.position[:, None]).flatten(1).float(), rtol=0, atol=1e-6
        )
        # To either of both.
        aims = torch.where(torch.rand(64, generator=generator) < 0.5, good, 1 - good)
        aim = env.targets[torch.arange(64), aims] - env.position
        action = torch.atan2(aim[:, 1], aim[:, 0])[:, None] / math.pi
        hits = env.hits.clone()
        moved = env.position + 0.25 * torch.cat(
            (torch.cos(math.pi * action), torch.sin(math.pi * action)), 1
        )
        distance = (env.targets - ((moved + 2).remainder(4) - 2)[:, None]).norm(dim=2)
        seen, reward, _, _ = env.step(action)
        expected = torch.where(distance.argmin(1) == good, 100.0, -50.0)
        expected = expected.where(distance.min(1).values < 0.4, 0.0)
        assert torch.equal(reward, expected)
        assert torch.equal(env.hits - hits, (expected != 0).long())
        rewards.append(reward)
        again = env.hits > hits
        assert ((env.targets - env.position[:, None]).norm(dim=2) >= 0.6)[again].all(), t
    assert set(torch.stack(rewards).unique().tolist()) == {-50.0, 0.0, 100.0}


@every
def test_who_knows_what_is_hidden_does_well(Environment):
    env, total = Environment(64, seed=2, steps=200), torch.zeros(64)
    env.reset()
    for _ in range(199):
        total += env.step(env.best()).reward
    if Environment is MovingTarget:
        assert (total == 1990).all()
    else:
        assert total.median() > 300


@every
def test_an_environment_is_the_same_in_any_batch(Environment):
    """Also one that begins by itself where it is told to, and one that goes back."""
    many, alone = Environment(5, seed=7, steps=9), Environment(1, seed=9, steps=9)
    assert torch.equal(many.reset()[2:3], alone.reset())
    generator, over = torch.Generator().manual_seed(1), torch.zeros(5, dtype=torch.bool)
    for t in range(30):
        action = torch.randn(5, 1, generator=generator)
        if t == 13:
            kept = many.get_state()
        found, one = many.step(action, over), alone.step(action[2:3], over[2:3])
        for x, y in zip(found, one, strict=True):
            assert torch.equal(x[2:3], y)
        assert (found.reward[over] == 0).all()
        assert torch.equal(found.truncated, torch.full((5,), t % 10 == 8))
        if t == 13:
            seen = many.set_state(kept)
            assert seen.shape == found.observation.shape
            for x, y in zip(many.step(action, over), found, strict=True):
                assert torch.equal(x, y)
        over = found.truncated
    assert many.episode.tolist() == [3] * 5
    assert len(set(many.hidden.flatten().tolist())) > 1


@every
def test_bad_calls_are_named(Environment):
    env = Environment(2, seed=0, steps=1)
    with pytest.raises(
        RuntimeError, match=r"step needs reset: episodes are over in environments \[0, 1"
    ):
        env.step(torch.zeros(2, 1))
    env.reset()
    for wrong in (torch.zeros(2), torch.zeros(2, 1).long(), torch.zeros(2, 1).half()):
        with pytest.raises(ValueError, match=r"action must be float32 or float64 \(2, 1\), got"):
            env.step(wrong)
    with pytest.raises(TypeError, match="action must be float32 or float64"):
        env.step([[0.0], [0.0]])
    with pytest.raises(ValueError, match="action must be finite"):
        env.step(torch.tensor([[0.0], [torch.nan]]))
    env.step(torch.zeros(2, 1))
    with pytest.raises(RuntimeError, match="step needs reset"):
        env.step(torch.zeros(2, 1))
    env.reset(torch.tensor([True, False]))
    with pytest.raises(RuntimeError, match=r"environments \[1\]"):
        env.step(torch.zeros(2, 1))
    with pytest.raises(ValueError, match="state must have the keys seed, episode"):
        env.set_state({})
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        Environment(2, steps=0)
    with pytest.raises(TypeError, match="batch_size must be an int, got float"):
        Environment(2.0)


@every
def test_gymnasium_finds_nothing_wrong(Environment):
    name = f"lrnn/{Environment.__name__}-v0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An output of 1 is 5 there, and 20 the most, as the paper has it.
        warnings.filterwarnings("ignore", ".*symmetric and normalized space")
        check_env(gymnasium.make(name).unwrapped)


@every
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_faces_agree(Environment, mode):
    """A vector of three is three single ones with seeds one apart, episode after episode."""
    name = f"lrnn/{Environment.__name__}-v0"
    envs = gymnasium.make_vec(name, num_envs=3, steps=5, autoreset_mode=mode)
    singles = [gymnasium.make(name, steps=5) for _ in range(3)]
    assert envs.metadata["autoreset_mode"] == mode
    seen, _ = envs.reset(seed=5)
    assert seen in envs.observation_space
    np.testing.assert_array_equal(seen, [e.reset(seed=5 + i)[0] for i, e in enumerate(singles)])
    rng, over = np.random.default_rng(0), False
    for _ in range(20):
        given = rng.uniform(-1, 1, (3, 1)).astype(np.float32)
        if over and mode == AutoresetMode.DISABLED:
            seen, _ = envs.reset(options={"reset_mask": np.ones(3, dtype=bool)})
            reward = terminated = truncated = np.zeros(3)
        else:
            seen, reward, terminated, truncated, _ = envs.step(given)
        assert seen in envs.observation_space
        for i, env in enumerate(singles):
            begun = (env.reset()[0], 0.0, False, False) if over else None
            one = begun or env.step(given[i])[:4]
            np.testing.assert_array_equal(seen[i], one[0])
            assert (reward[i], terminated[i], truncated[i]) == (np.float32(one[1]), *one[2:])
        over = bool(truncated[0])
