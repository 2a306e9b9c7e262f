"""Peers beside ours: only what computes the same is timed, and whatever is not says why."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import __main__
from benchmarks.cpu import model_peers
from benchmarks.measure import timing
from benchmarks.peers import PEERS, measure, tables
from benchmarks.peers import __main__ as command
from benchmarks.peers.peer import Case, Peer, of_torch
from benchmarks.peers.problems import PROBLEMS
from tests import ROOT

RESULTS = sorted((ROOT / "benchmarks/results").glob("peers-*.json"))
TINY = (2, 8, 4)  # B, T, C: as many steps as one graph has


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(timing, "WARM_SECONDS", 0.0)
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(model_peers, "COMPILER", "eager")
    monkeypatch.setattr(command, "SMALL", TINY)


def _eager(wrong=lambda name, x: x) -> Peer:
    """The linear scan as a loop in plain torch; ``wrong`` changes what it gives, by name."""

    def y(a, b):
        h, outputs = torch.zeros_like(b[:, 0]), []
        for decay, x in zip(a.unbind(1), b.unbind(1), strict=True):
            h = decay * h + x
            outputs.append(h)
        return torch.stack(outputs, 1)

    def make(case):
        return {"": of_torch(y, case.inputs, case.dy, wrong)}

    return Peer("eager", "linear_scan", "a loop", make)


def _row(peer: Peer) -> dict:
    (row,) = measure.measure(PROBLEMS["linear_scan"], [peer], 1, 2, TINY)
    return row


def test_a_right_peer_is_timed():
    row = _row(_eager())
    assert row["error"] < 1e-6
    for direction in measure.PASSES:
        assert row[f"{direction}_ratio"] > 0
        assert all(ms >= 0 for ms in row[f"{direction}_ms"])


PLANTED = {
    "a wrong value": ("y", lambda x: 1.001 * x),
    "a wrong gradient": ("a", lambda x: 1.001 * x),
    "a gradient of zeros": ("b", torch.zeros_like),
    "one number that is not one": ("b", lambda x: torch.where(x == x.max(), float("nan"), x)),
    "another layout": ("y", lambda x: x.transpose(0, 1)),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_wrong_peer_gets_no_times(planted, capsys):
    what, change = PLANTED[planted]
    row = _row(_eager(lambda name, x: change(x) if name == what else x))
    assert row["refused"].startswith(f"{what} ")
    assert not any(direction in key for direction in measure.PASSES for key in row)
    assert f"refused: {what}" in " ".join(tables.cells(row))


def test_a_peer_that_gives_too_little_is_refused():
    peer = _eager()

    def make(case):
        passes = peer.make(case)[""]
        return {"": replace(passes, names=("y", "a"))}

    assert _row(replace(peer, make=make))["refused"] == "gives y, a, not y, a, b"


def test_a_peer_that_is_wrong_in_some_settings_is_refused():
    right, wrong = _eager(), _eager(lambda name, x: 2 * x)
    both = replace(right, make=lambda case: {"one": right.make(case)[""], **wrong.make(case)})
    assert "y differs by" in _row(both)["refused"]


def test_a_peer_that_is_not_there_or_does_not_run_says_why():
    def broken(case):
        raise RuntimeError("no compiler\nlong trace")

    absent = replace(_eager(), imports=("lrnn_no_such_package",))
    assert _row(absent)["missing"] == "lrnn_no_such_package is not installed"
    assert _row(replace(_eager(), make=broken))["missing"] == (
        "does not run: RuntimeError: no compiler"
    )


def test_ours_is_held_to_the_reference_too():
    problem = PROBLEMS["linear_scan"]

    def passes(case, backend):
        found = problem.passes(case, backend)
        return found if backend == "reference" else replace(found, read=lambda name, x: 2 * x)

    with pytest.raises(SystemExit, match="linear_scan: ours is wrong: y differs"):
        list(measure.measure(replace(problem, passes=passes), [_eager()], 1, 2, TINY))


def test_what_computes_something_else_is_held_to_what_it_says():
    """And stands in a table of its own."""

    def expected(case: Case) -> dict:
        passes = _eager().make(case)[""]
        return passes.found(passes.train())

    other = replace(_eager(), expected=expected)
    row = _row(other)
    assert not row["same"]
    assert "error" in row
    assert "refused" in _row(replace(other, make=_eager(lambda name, x: 2 * x).make))


def test_every_peer_computes_a_problem_and_every_problem_has_one():
    assert {peer.computes for peer in PEERS} == PROBLEMS.keys()
    names = [(peer.name, peer.computes, peer.expected is None) for peer in PEERS]
    assert len(set(names)) == len(names)
    for peer in PEERS:
        assert bool(peer.imports) == (peer.packages != ("torch",)), peer.name


def test_a_run_shows_every_peer(monkeypatch, capsys, tmp_path):
    """Those that are installed are right, and have times; the others are named."""
    # Graphs take long to trace; they are those of the models, where they are tested.
    monkeypatch.setattr(torch, "compile", lambda run, **options: run)
    threads, mine = torch.get_num_threads(), _cores()
    assert __main__.main(["peers", "--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    assert (torch.get_num_threads(), _cores()) == (threads, mine)
    said = capsys.readouterr().out
    (path,) = tmp_path.glob("peers-*.json")
    content = json.loads(path.read_text())
    rows = content["peers"]["rows"]
    assert {(row["peer"], row["ours"]) for row in rows} == {(p.name, p.computes) for p in PEERS}
    for row in rows:
        assert "refused" not in row, row
        assert ("error" in row) != ("missing" in row), row
        assert row["peer"] in said
    assert next(tmp_path.glob("peers-*.png")).stat().st_size > 10_000
    assert command.main(["--show", str(path)]) == 0
    assert capsys.readouterr().out in said
    assert command.main(["--show", str(path), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| `") for line in lines) == len(PEERS)


def _cores():
    return command.os.sched_getaffinity(0) if hasattr(command.os, "sched_getaffinity") else None


def test_a_word_that_no_peer_has_is_an_error(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "no such peer"])
    assert "no peer and no problem has no such peer" in capsys.readouterr().err


def test_checked_in_results_can_be_shown(capsys):
    """Documents show them, by docs/tables.py."""
    for path in RESULTS:
        assert command.main(["--show", str(path)]) == 0
        content = json.loads(path.read_text())
        assert not content["quick"], path.name
        assert {row["peer"] for row in content["peers"]["rows"]} <= {peer.name for peer in PEERS}
        assert tables.REMARK in capsys.readouterr().out
