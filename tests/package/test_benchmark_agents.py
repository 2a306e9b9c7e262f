"""Agents under measurement: the command, with and without its peer, and what documents show."""

import builtins
import json

import pytest
import torch

from benchmarks.cpu import __main__, agents
from benchmarks.measure import timing
from tests import ROOT

RESULTS = sorted((ROOT / "benchmarks/results").glob("agents-*.json"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(agents, "BATCH", 4)
    monkeypatch.setattr(agents, "STEPS", 5)
    monkeypatch.setattr(agents, "UNITS", (8,))
    monkeypatch.setattr(timing, "WARM_SECONDS", 0.0)
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_without_the_peer_the_command_says_so(monkeypatch, capsys, tmp_path):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("sb3_contrib"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    agents.main(quick=True, out=tmp_path)
    said = capsys.readouterr().out
    assert agents.INSTALL in said
    (path,) = tmp_path.glob("agents-*.json")
    rows = json.loads(path.read_text())["agents"]
    assert [row["agent"] for row in rows] == [
        *(f"ours, nn.{name}" for name in agents.LAYERS),
        "ours, torch.nn.LSTM",
    ]
    assert all(row["steps_per_second"] > 0 and row["by_peer"] is None for row in rows)
    assert __main__.main(["tables", str(path)]) == 0
    assert capsys.readouterr().out in said


def test_the_peer_walks_the_same_mazes(capsys, tmp_path):
    agents.main(quick=True, out=tmp_path)
    assert agents.INSTALL not in capsys.readouterr().out
    (path,) = tmp_path.glob("agents-*.json")
    rows = json.loads(path.read_text())["agents"]
    assert rows[-1]["agent"] == agents.PEER
    assert rows[-1]["by_peer"] == 1
    assert all(row["by_peer"] > 0 for row in rows)


def test_documents_show_what_the_file_holds():
    shown = RESULTS[-1]
    content = json.loads(shown.read_text())
    text = (ROOT / "docs/performance.md").read_text()
    assert shown.name in text
    assert "\n".join(agents.markdown(content)) in text
