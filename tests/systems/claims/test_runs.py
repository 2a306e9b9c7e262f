"""Runs of a claim: each is done once, and what is done is kept when others fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.claims import progress, runs
from benchmarks.claims.claim import Claim
from tests import ROOT


def _run(setting: dict, seed: int, state: Path) -> dict:
    """Counts its calls in a file; fails while another is there."""
    folder = Path(setting["folder"])
    with (folder / "calls").open("a") as file:
        file.write(f"{setting['name']}{seed} ")
    while setting["name"] == "c" and (folder / "endless").exists():
        progress.at(0.5)
        time.sleep(0.02)
    if setting["name"] == "b" and (folder / "broken").exists():
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("half")
        raise RuntimeError("this run is broken")
    return {"twice": 2 * seed, "state": state.read_text() if state.exists() else None}


def claim(folder: Path) -> Claim:
    return Claim(
        name="fake",
        says="Nothing. At all.",
        settings=lambda quick: [
            {"name": name, "folder": str(folder)} for name in ("ab" if quick else "abc")
        ],
        run=_run,
        header=("name",),
        table=lambda found: [[run["name"]] for run in found],
        plot=lambda figure, found: None,
        seeds=2,
    )


def test_runs_go_on_where_they_were_interrupted(tmp_path, capsys):
    (tmp_path / "broken").touch()
    with pytest.raises(RuntimeError, match="this run is broken"):
        runs.run([claim(tmp_path)], tmp_path / "out", quick=True, seeds=2, processes=1)
    kept = tmp_path / "out" / "fake-quick.jsonl"
    done = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [run["setting"]["name"] for run in done] == ["a"] * len(done)
    assert done
    with kept.open("a") as file:
        file.write('{"setting": {"name": "b", "fol')  # as a machine that stops leaves it
    (tmp_path / "broken").unlink()
    before = (tmp_path / "calls").read_text().split()
    found = runs.run([claim(tmp_path)], tmp_path / "out", quick=True, seeds=2, processes=1)["fake"]
    after = (tmp_path / "calls").read_text().split()[len(before) :]
    assert sorted(after) == sorted({"a0", "b0", "a1", "b1"} - {f"a{run['seed']}" for run in done})
    assert f"{len(done)} of 4 runs were done before" in capsys.readouterr().out
    assert [(run["name"], run["seed"], run["twice"]) for run in found] == [
        ("a", 0, 0), ("b", 0, 0), ("a", 1, 2), ("b", 1, 2),
    ]  # fmt: skip
    assert [run["state"] for run in found if run["name"] == "b"] == ["half"] * 2
    assert all(run["cpu_seconds"] >= 0 for run in found)
    assert not kept.exists()
    assert not list((tmp_path / "out").rglob("*.pt"))


def test_another_number_of_seeds_keeps_what_is_done(tmp_path):
    kept = runs.Kept(tmp_path / "fake.jsonl")
    for setting in claim(tmp_path).settings(False):
        kept.add(setting, 0, {"twice": 0, "cpu_seconds": 0.0})
    found = runs.run([claim(tmp_path)], tmp_path, seeds=1)["fake"]
    assert [run["name"] for run in found] == ["a", "b", "c"]
    assert not (tmp_path / "calls").exists()


def test_an_interrupt_keeps_what_is_done(tmp_path):
    """Ctrl-C reaches every process of a terminal; only the one that was started says anything."""
    (tmp_path / "endless").touch()
    code = (
        "import sys; from pathlib import Path; from benchmarks.claims import runs; "
        "from tests.systems.claims.test_runs import claim; folder = Path(sys.argv[1]); "
        "runs.run([claim(folder)], folder, seeds=1, processes=1)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    calls, limit = tmp_path / "calls", time.monotonic() + 300
    while not (calls.exists() and "c0" in calls.read_text()):
        assert started.poll() is None, started.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=120)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    done = [json.loads(line) for line in (tmp_path / "fake.jsonl").read_text().splitlines()]
    assert [run["setting"]["name"] for run in done] == ["a", "b"]
