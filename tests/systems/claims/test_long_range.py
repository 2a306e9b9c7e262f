"""Long trainings: an interrupted one goes on bit for bit, and what is drawn once is kept whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.claims import long_range, pools, progress, runs
from lrnn_kernels.tasks import listops

STEPS, STOPPED = 7, 4
TASKS, CELLS = list(long_range.TASKS), list(long_range.CELLS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Batches of 4, a state after every step, a point of the curve after every second."""
    for name, task in long_range.TASKS.items():
        monkeypatch.setitem(long_range.TASKS, name, replace(task, size=4))
    monkeypatch.setattr(long_range, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(long_range, "POINTS", STEPS // 2)


def _setting(task: str, network: str, **changed) -> dict:
    tiny = {"task": task, "network": network, "steps": STEPS, "drawn": 12, "tested": 5}
    return {**tiny, **changed}


def _stop(monkeypatch, after: int) -> None:
    """Training is interrupted after so many steps, as by Ctrl-C."""

    def at(share: float) -> None:
        if round(share * STEPS) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "at", at)


def _plain(found: dict) -> dict:
    return {key: value for key, value in found.items() if key != "cpu_seconds"}


def _equal(a, b) -> bool:
    """Whether two states hold the same bits."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b


@pytest.mark.parametrize("network", CELLS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("stopped", [1, STOPPED, STEPS])
def test_an_interrupted_run_goes_on_bit_for_bit(task, network, stopped, monkeypatch, tmp_path):
    setting, seed = _setting(task, network), 3
    whole = long_range.course(setting, seed, tmp_path / "whole.pt")
    found = whole.go(tmp_path / "whole.pt")
    assert len(found["curve"]) == STEPS // 2 + 1
    assert found["curve"][-1][0] == 4 * STEPS

    state = tmp_path / "interrupted.pt"
    with monkeypatch.context() as patched:
        _stop(patched, stopped)
        with pytest.raises(KeyboardInterrupt):
            long_range.run(setting, seed, state)
    again = long_range.course(setting, seed, state)
    assert again.training.step == stopped - 1
    assert _plain(again.go(state)) == _plain(found)
    ours, theirs = again.state_dict(), whole.state_dict()
    assert ours.pop("seconds") > 0
    assert theirs.pop("seconds") > 0
    assert _equal(ours, theirs)


def test_a_run_interrupted_again_and_again_is_the_same(monkeypatch, tmp_path):
    setting = _setting("rows, 3 dashes", "CMRU")
    found = long_range.run(setting, 0, tmp_path / "whole.pt")
    state = tmp_path / "interrupted.pt"
    for stopped in (2, 3, 6):
        with monkeypatch.context() as patched:
            _stop(patched, stopped)
            with pytest.raises(KeyboardInterrupt):
                long_range.run(setting, 0, state)
    assert _plain(long_range.run(setting, 0, state)) == _plain(found)


def test_nothing_is_written_before_its_time(monkeypatch, tmp_path):
    monkeypatch.setattr(long_range, "SAVE_EVERY", 1000.0)
    long_range.run(_setting("rows, 3 dashes", "LRU"), 0, tmp_path / "state.pt")
    assert not (tmp_path / "state.pt").exists()


@pytest.mark.parametrize(
    "other", [{"network": "LRU"}, {"steps": 3}, {"drawn": 11}, {"task": "rows, 9 dashes"}], ids=str
)
def test_a_state_of_another_plan_is_not_gone_on_from(other, tmp_path):
    state = tmp_path / "state.pt"
    setting = _setting("rows, 3 dashes", "CMRU")
    long_range.run({**setting, **other}, 0, state)
    assert state.exists()
    assert long_range.course(setting, 0, state).training.step == 0
    assert long_range.course({**setting, **other}, 1, state).training.step == 0
    assert long_range.course({**setting, **other}, 0, state).training.step > 0


def test_seconds_of_interrupted_processes_count(monkeypatch, tmp_path):
    setting, state = _setting("rows, 3 dashes", "CMRU"), tmp_path / "state.pt"
    with monkeypatch.context() as patched:
        _stop(patched, STEPS)
        with pytest.raises(KeyboardInterrupt):
            long_range.run(setting, 0, state)
    kept = torch.load(state, weights_only=True)
    pools.save({**kept, "seconds": 500.0}, state)
    found = runs._one(long_range.run, setting, 0, state)
    assert 500 < found["cpu_seconds"] < 600
    assert not state.exists()


def test_runs_of_a_seed_differ_from_those_of_another(tmp_path):
    curves = [
        long_range.course(_setting("rows, 3 dashes", "CMRU"), seed, tmp_path / f"{seed}.pt")
        for seed in (0, 0, 1)
    ]
    for n, course in enumerate(curves):
        course.go(tmp_path / f"kept-{n}.pt")
    weights = [course.network.head.weight for course in curves]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


CLAIMS = [long_range.PATHFINDER, long_range.PIXELS, long_range.LISTOPS]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
@pytest.mark.parametrize("quick", [True, False])
def test_what_was_found_is_shown(claim, quick, tmp_path):
    """A row for each network of each task, as wide as its header, and a panel for each task."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    settings = claim.settings(quick)
    point = {"parameters": 1, "accuracy": 0.5, "best": 0.6, "train_accuracy": 0.5, "pool": "0"}
    point |= {"guess": 0.5, "curve": [(4, 0.4), (8, 0.5)], "cpu_seconds": 1.0}
    found = [{**setting, "seed": seed, **point} for seed in (0, 1) for setting in settings]
    rows = claim.table(found)
    assert len(rows) == len(settings)
    assert {len(row) for row in rows} == {len(claim.header)}
    claim.plot(figure, found)
    tasks = list(dict.fromkeys(setting["task"] for setting in settings))
    assert [axes.get_title() for axes in figure.axes] == tasks


# What is drawn.


def _pictures(count: int = 40) -> pools.Pool:
    return long_range.pictures(count, torch.Generator().manual_seed(0), dashes=3, distractors=0)


def test_pictures_of_training_are_turned_and_mirrored():
    pool = _pictures(3)
    chosen = torch.arange(3).repeat_interleave(100)
    plain, answers, lengths = long_range.as_rows(pool, chosen, None)
    assert lengths is None
    assert torch.equal(answers, pool["answers"][chosen])
    assert torch.equal(plain, pool["pictures"][chosen].float() / 255 - 0.5)
    changed, answers, _ = long_range.as_rows(pool, chosen, torch.Generator().manual_seed(1))
    assert torch.equal(answers, pool["answers"][chosen])
    for picture, group in zip(plain[::100], changed.split(100), strict=True):
        turned = [x.rot90(k) for x in (picture, picture.mT) for k in range(4)]
        ways = [[n for n, x in enumerate(turned) if torch.equal(x, one)] for one in group]
        assert all(ways)
        assert {n for way in ways for n in way} == set(range(8))


def test_pixels_are_those_of_the_rows():
    pool, chosen = _pictures(), torch.tensor([7, 0, 7])
    rows, *_ = long_range.as_rows(pool, chosen, torch.Generator().manual_seed(5))
    pixels, *_ = long_range.as_pixels(pool, chosen, torch.Generator().manual_seed(5))
    assert pixels.shape == (3, 1024, 1)
    assert torch.equal(pixels.view_as(rows), rows)


def test_expressions_are_as_drawn():
    options, draws = {"steps": 40, "min_length": 10}, torch.Generator().manual_seed(2)
    pool = long_range.expressions(30, draws, **options)
    batch = listops.draw(batch_size=30, generator=torch.Generator().manual_seed(2), **options)
    chosen = torch.tensor([4, 29, 4, 11])
    x, answers, lengths = long_range.one_hot(pool, chosen, None)
    assert torch.equal(answers, batch.answers[chosen])
    assert torch.equal(lengths, (batch.inputs[chosen] != listops.PADDING).sum(1))
    assert x.shape[1] == lengths.max()
    assert torch.equal(x.sum(-1), torch.ones(x.shape[:2]))
    assert torch.equal(x.argmax(-1), batch.inputs[chosen, : x.shape[1]])


def test_a_guess_is_the_commonest_answer_of_those_alike():
    def pool(tokens: list[int], answers: list[int]) -> pools.Pool:
        tokens = torch.tensor(tokens, dtype=torch.uint8)[:, None]
        return {"tokens": tokens, "answers": torch.tensor(answers)}

    learn = pool([11, 11, 11, 12, 12, 14], [0, 0, 9, 9, 9, 3])
    test = pool([11, 11, 12, 12, 14], [0, 9, 9, 9, 4])
    assert long_range.guessed(long_range.operator, learn, test) == 3 / 5
    assert long_range.guessed(long_range.nothing, learn, test) == 3 / 5
    assert long_range.guessed(long_range.nothing, test, learn) == 3 / 6
    assert long_range.guessed(long_range.operator, test, learn) == 4 / 6


# What is kept of it.


def _count(count: int, generator: torch.Generator) -> pools.Pool:
    return {"x": torch.randint(1000, (count, 2), generator=generator), "y": torch.arange(count)}


@pytest.mark.parametrize("count", [1, pools.PIECE, pools.PIECE + 1, 2 * pools.PIECE])
def test_a_pool_is_read_from_its_file(count, tmp_path):
    calls = []

    def draw(n: int, generator: torch.Generator) -> pools.Pool:
        calls.append(n)
        return _count(n, generator)

    pool = pools.kept(draw, count, 1, tmp_path, "pool")
    assert sum(calls) == count == len(pool["x"])
    (path,) = tmp_path.iterdir()
    assert path.name == f"pool-{count}-1-{pools.checksum(pool)}.pt"
    del calls[:]
    assert _equal(pools.kept(draw, count, 1, tmp_path, "pool"), pool)
    assert calls == [min(count, pools.PIECE)]  # compared, not drawn anew
    for other in ((draw, count + 1, 1), (draw, count, 2)):
        assert not _equal(pools.kept(*other, tmp_path, "pool"), pool)
    assert len(list(tmp_path.iterdir())) == 3


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _rubbish(path):
    path.write_bytes(b"rubbish")


def _changed(path):
    pool = torch.load(path)
    pool["x"][-1] += 1
    torch.save(pool, path)


def _from_another_draw(path):
    pool = pools.drawn(lambda n, g: _count(n, g.manual_seed(9)), 150, 1)
    path.rename(path.with_name(f"pool-150-1-{pools.checksum(pool)}.pt"))
    torch.save(pool, path.with_name(f"pool-150-1-{pools.checksum(pool)}.pt"))


@pytest.mark.parametrize("spoil", [_cut, _rubbish, _changed, _from_another_draw])
def test_a_spoilt_pool_is_drawn_again(spoil, tmp_path):
    pool = pools.kept(_count, 150, 1, tmp_path, "pool")
    (path,) = tmp_path.iterdir()
    spoil(path)
    assert _equal(pools.kept(_count, 150, 1, tmp_path, "pool"), pool)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("what", ["name", "dtype", "shape", "value"])
def test_the_checksum_is_of_all_that_a_pool_holds(what):
    x = torch.arange(6, dtype=torch.int32)
    others = {
        "name": {"y": x},
        "dtype": {"x": x.float()},
        "shape": {"x": x.view(2, 3)},
        "value": {"x": x.flip(0)},
    }
    assert pools.checksum(others[what]) != pools.checksum({"x": x})
    assert pools.checksum({"x": x.clone()}) == pools.checksum({"x": x})


def test_a_file_is_whole_or_not_there(monkeypatch, tmp_path):
    path = tmp_path / "folder" / "state.pt"
    pools.save({"step": 1}, path)

    def interrupted(content, place):
        place.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pools.save({"step": 2}, path)
    assert torch.load(path) == {"step": 1}
