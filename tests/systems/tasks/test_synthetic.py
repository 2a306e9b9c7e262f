"""What each of the short generated tasks is, read off its inputs alone."""

import pytest
import torch

from lrnn_kernels import tasks

from .registry import seeded


@pytest.mark.parametrize("distractors", ["noise", "symbols"])
@pytest.mark.parametrize("steps", [2, 3, 50])
def test_copy_first_symbol(distractors, steps):
    inputs, targets, mask = tasks.copy_first_symbol.draw(
        batch_size=300, steps=steps, distractors=distractors, generator=seeded()
    )
    cue, between, query = inputs[:, 0], inputs[:, 1:-1], inputs[:, -1]
    assert torch.equal(cue.argmax(1), targets[:, -1])
    assert torch.equal(cue.sum(1), torch.ones(300))
    assert torch.equal(query, torch.eye(17)[-1].expand(300, -1))
    assert not between[..., :8].any()
    assert not between[..., -1].any()
    assert mask[:, -1].all()
    assert mask.sum() == 300
    assert set(targets[:, -1].tolist()) == set(range(8))
    if distractors == "symbols":
        assert torch.equal(between.sum(2), torch.ones(300, steps - 2))
        assert set(between.unique().tolist()) <= {0.0, 1.0}
    elif steps > 2:
        assert between[..., 8:-1].std() == pytest.approx(1, abs=0.05)
        assert (between[..., 8:-1] != 0).all(2).float().mean() > 0.99


@pytest.mark.parametrize("cue", ["shown", "flashes"])
def test_t_maze(cue):
    """Every sequence is one of the cues, a corridor of a length of its own, and a junction."""
    t_maze = tasks.t_maze
    batch = t_maze.draw(batch_size=400, shortest=5, longest=8, cue=cue, generator=seeded())
    kinds = {tuple(seen): arm for arm, seen in t_maze.cues(cue)}
    assert len(kinds) == (2 if cue == "shown" else 6)
    found = set()
    for inputs, targets, mask in zip(*batch, strict=True):
        steps = int(mask.sum())
        assert mask[:steps].all()
        assert not inputs[steps:].any()
        assert torch.equal(inputs[:steps].sum(1), torch.ones(steps))
        seen = inputs[:steps].argmax(1).tolist()
        length = steps - 1
        (start,) = [
            k for k in kinds if tuple(seen[: len(k)]) == k and 5 <= length - len(k) + 1 <= 8
        ]
        assert seen[len(start) :] == [t_maze.CORRIDOR] * (length - len(start)) + [t_maze.JUNCTION]
        assert targets[:steps].tolist() == [t_maze.RIGHT] * length + [kinds[start]]
        found.add((start, length - len(start) + 1))
    assert len(found) == 4 * len(kinds)
    junction = t_maze.at_junction(batch)
    assert torch.equal(junction, batch.inputs[..., t_maze.JUNCTION] == 1)
    assert junction.sum(1).tolist() == [1] * 400
    with pytest.raises(ValueError, match="longest must be at least 5, got 4"):
        t_maze.draw(shortest=5, longest=4, generator=seeded())
    with pytest.raises(ValueError, match="cue must be one of 'shown', 'flashes'"):
        t_maze.draw(cue="hidden", generator=seeded())


def test_copy_first_input():
    inputs, targets, mask = tasks.copy_first_input.draw(batch_size=8, steps=500, generator=seeded())
    assert torch.equal(targets[:, -1], inputs[:, 0])
    assert mask.nonzero()[:, 1].tolist() == [499] * 8
    assert inputs.std() == pytest.approx(1, abs=0.05)
    kept = targets.clone()
    inputs.mul_(2)  # a user's own change of the inputs
    assert torch.equal(targets, kept)


@pytest.mark.parametrize("padding", [0, 200])
def test_denoising(padding):
    inputs, targets, mask = tasks.denoising.draw(batch_size=64, padding=padding, generator=seeded())
    assert inputs.shape == (64, 400, 2)
    noise, flag = inputs.unbind(2)
    assert (flag == 1).sum(1).tolist() == [5] * 64
    assert (flag == -1).nonzero()[:, 1].tolist() == [395] * 64
    assert ((flag == 1) | (flag == -1) | (flag == 0)).all()
    flagged = (flag == 1).nonzero()[:, 1]
    assert flagged.max() < 395 - padding
    assert flagged.min() < 10
    assert flagged.max() > 385 - padding
    assert torch.equal(targets[:, 395:, 0], noise[flag == 1].view(64, 5))
    assert mask[:, 395:].all()
    assert not mask[:, :395].any()
    assert (noise != 0).float().mean() > 0.99


def test_denoising_needs_room():
    tasks.denoising.draw(steps=17, values=5, padding=7, generator=seeded())
    with pytest.raises(ValueError, match="steps must be at least 17, got 16"):
        tasks.denoising.draw(steps=16, values=5, padding=7, generator=seeded())
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        tasks.denoising.draw(padding=-1, generator=seeded())


@pytest.mark.parametrize("steps", [32, 33, 200])
def test_selective_copying(steps):
    inputs, targets, mask = tasks.selective_copying.draw(
        batch_size=50, steps=steps, generator=seeded()
    )
    for row, answer in zip(inputs.tolist(), targets[mask].view(50, 16).tolist(), strict=True):
        assert [token - 2 for token in row if token > 1] == answer
        assert row[-16:] == [1] * 16
        assert 1 not in row[:-16]
    assert inputs.max() == 15
    places = (inputs > 1).nonzero()[:, 1]
    assert places.min() == 0
    assert places.max() == steps - 17


@pytest.mark.parametrize(("steps", "pairs"), [(3, 1), (48, 16), (300, 16)])
def test_associative_recall(steps, pairs):
    inputs, targets, mask = tasks.associative_recall.draw(
        batch_size=50, steps=steps, pairs=pairs, keys=40, values=30, generator=seeded()
    )
    for row, answers, asked in zip(inputs.tolist(), targets.tolist(), mask.tolist(), strict=True):
        memory = dict(zip(row[0 : 2 * pairs : 2], row[1 : 2 * pairs : 2], strict=True))
        assert len(memory) == pairs
        assert all(1 <= key <= 40 < value <= 70 for key, value in memory.items())
        queries = [t for t in range(steps) if asked[t]]
        assert min(queries) >= 2 * pairs
        assert sorted(row[t] for t in queries) == sorted(memory)
        assert all(memory[row[t]] - 41 == answers[t] for t in queries)
        assert not any(row[t] for t in range(2 * pairs, steps) if t not in queries)


def test_the_power_of_associative_recall():
    """Of one question each, the share at each step is its weight."""
    for power in (0.01, 1.0):
        batch = tasks.associative_recall.draw(
            batch_size=20_000, steps=12, pairs=1, keys=2, values=2, power=power,
            generator=seeded(),
        )  # fmt: skip
        weights = torch.arange(1, 11.0) ** (power - 1)
        expected = weights / weights.sum()
        found = batch.mask[:, 2:].float().mean(0)
        assert (found - expected).abs().max() < 5 * (0.25 / 20_000) ** 0.5


@pytest.mark.parametrize("power", [0, 1.5, "steep", float("nan")])
def test_a_wrong_power_is_named(power):
    with pytest.raises(ValueError, match=r"power must be a number in \(0, 1\], got"):
        tasks.associative_recall.draw(power=power, generator=seeded())


def test_too_few_keys_are_named():
    with pytest.raises(ValueError, match="keys must be at least 16, got 15"):
        tasks.associative_recall.draw(keys=15, generator=seeded())


def test_unknown_distractors_are_named():
    with pytest.raises(ValueError, match=r"distractors must be one of 'noise', .* got 'gauss'"):
        tasks.copy_first_symbol.draw(distractors="gauss", generator=seeded())
