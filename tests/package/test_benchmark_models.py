"""Whole networks under measurement: every layer has a row, and what it is compared with computes
the same."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks.cpu import __main__, model_peers, models, peers
from benchmarks.cpu.models import LOOP, Setting, check
from benchmarks.measure import timing
from lrnn_kernels import nn
from tests import ROOT
from tests.layers.cases import PLAIN

RESULTS = sorted((ROOT / "benchmarks/results").glob("models-*.json"))
TINY = Setting(2, 2 * models.CHECKED, 4, 1)
every_name = pytest.mark.parametrize("name", models.names())


@pytest.fixture(autouse=True)
def plain_loops(monkeypatch):
    """numba's loops as plain Python, whether it is installed or not, and graphs as they are
    traced."""
    plain = SimpleNamespace(
        njit=lambda **options: lambda loop: loop,
        prange=range,
        set_num_threads=lambda count: None,
        config=SimpleNamespace(NUMBA_NUM_THREADS=2),
    )
    monkeypatch.setattr(peers, "numba", plain)
    monkeypatch.setattr(peers, "_compiled", {})
    monkeypatch.setattr(model_peers, "COMPILER", "eager")
    torch.compiler.reset()
    torch.manual_seed(0)


def _layer(name: str, *size: int) -> torch.nn.Module:
    """One whose vectors are all random, so that none of them can be missed."""
    layer = getattr(nn, name)(*size, batch_first=True)
    with torch.no_grad():
        for p in layer.parameters():
            if p.dim() == 1:
                p.add_(0.1 * torch.randn_like(p))
    return layer


def test_the_layers_are_those_that_there_are():
    assert set(models.names()) == PLAIN.keys()


@every_name
def test_a_peer_computes_and_learns_what_the_layer_does(name):
    """As a layer, and within the network."""
    found = list(model_peers.of(getattr(nn, name)))
    assert len(found) > 1
    assert found[-1].name == LOOP
    ours = _layer(name, TINY.read, TINY.width)
    x, dy = torch.randn(3, 20, TINY.read), torch.randn(3, 20, TINY.width)
    network, pixels = TINY.network(name).eval(), torch.rand(3, 20, 1)
    for peer in found:
        check(ours, peer.make(TINY.read, TINY.width), x, dy)
        other = TINY.network(lambda inputs, peer=peer: peer.make(inputs, TINY.width)).eval()
        other.load_state_dict(network.state_dict())
        torch.testing.assert_close(other(pixels)[0], network(pixels)[0], rtol=1e-3, atol=1e-4)


def test_loops_in_numba_are_peers_where_they_can_be(monkeypatch):
    """Without numba other peers stand in, and the reference is never the only one."""

    def of(name):
        return [peer.name for peer in model_peers.of(getattr(nn, name))]

    looped = {name for name in models.names() if "numba" in of(name)}
    assert {getattr(nn, name).cell for name in looped} == {*model_peers.LOOPS, *model_peers.GATES}
    monkeypatch.setattr(peers, "numba", None)
    assert not any("numba" in of(name) for name in models.names())


WRONG = {
    "y": lambda y: 1.01 * y,
    "x": lambda y: y + 0.01 * (y - y.detach()),
    "h0": lambda y: torch.cat([y[:, :1].detach(), y[:, 1:]], 1),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_peer_that_differs_is_refused(wrong, monkeypatch):
    """In what it computes or learns; and no speed of it is shown."""
    right = model_peers.CUMULATIVE[nn.CMRU.cell]
    planted = {nn.CMRU.cell: lambda *given: WRONG[wrong](right(*given))}
    monkeypatch.setattr(model_peers, "CUMULATIVE", planted)
    what = wrong if wrong == "y" else ".*"
    with pytest.raises(
        SystemExit, match=rf"CMRU by torch.cumsum: {what} differs by .* no interest"
    ):
        models.best_peer("CMRU", TINY, 1)


def test_a_peer_that_does_not_run_is_named(monkeypatch, capsys):
    def broken(*given):
        raise RuntimeError("no compiler\nlong trace")

    monkeypatch.setattr(model_peers, "CUMULATIVE", {nn.CMRU.cell: broken})
    assert models.best_peer("CMRU", TINY, 1).name == LOOP
    assert "CMRU by torch.cumsum does not run: no compiler\n" in capsys.readouterr().out


def test_a_peer_refuses_what_it_does_not_run():
    layer = next(model_peers.of(nn.MinGRU)).make(3, 4)
    with pytest.raises(ValueError, match="whole sequences"):
        layer(torch.randn(2, 5, 3), reset=torch.zeros(2, 5, dtype=torch.bool))


@pytest.mark.parametrize("name", ["BMRU", "LRU", "MinGRU"])
def test_a_peer_gives_threads_back(name, monkeypatch):
    """numba leaves OpenMP, which torch shares, with all cores: here, with one more thread."""

    def loop(*arrays):
        torch.set_num_threads(torch.get_num_threads() + 1)

    found = {called: loop for called in peers.loops()}
    monkeypatch.setattr(peers, "_compiled", found)
    threads = torch.get_num_threads()
    layer = next(model_peers.of(getattr(nn, name))).make(3, 4)
    models.layer_alone(layer, torch.randn(2, 5, 3), torch.randn(2, 5, 4))()
    assert torch.get_num_threads() == threads


@every_name
def test_the_scan_alone_leaves_the_layer_as_it_was(name):
    layer = getattr(nn, name)(3, 4, batch_first=True)
    before = dict(vars(layer))
    models.scan_alone(layer, torch.randn(2, 5, 3), torch.randn(2, 5, 4))()
    assert vars(layer) == before


def test_a_training_step_trains():
    network = TINY.network(models.names()[0])
    before = [p.detach().clone() for p in network.parameters()]
    x, labels = torch.rand(TINY.B, TINY.T, 1), torch.zeros(TINY.B, dtype=torch.int64)
    models.training_step(network, x, labels)()
    moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert all(moved)


def test_a_run_shows_every_layer(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(timing, "WARM_SECONDS", 0.0)
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(models, "SMALL", TINY)
    monkeypatch.setattr(model_peers, "GATES", {})  # their graphs take long to trace
    threads = torch.get_num_threads()
    models.main(1, quick=True, out=tmp_path)
    assert torch.get_num_threads() == threads
    said = capsys.readouterr().out
    for name in models.names():  # a training step, and a streaming one
        assert sum(line.startswith(f"{name} ") for line in said.splitlines()) == 2, name
    (path,) = tmp_path.glob("models-*.json")
    content = json.loads(path.read_text())
    for row in content["models"]["rows"]:
        assert row["ms"] > 0
        assert 0 < row["recurrence"] < 1
        assert row["peer"] == LOOP or row["by_peer"] > 0
    assert __main__.main(["tables", str(path)]) == 0
    assert capsys.readouterr().out in said
    assert __main__.main(["tables", str(path), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| nn.")] == [
        f"| nn.{name}" for name in models.names() * 2
    ]


def test_a_long_call_is_not_warmed_up(monkeypatch):
    """Nor tried again where it was preempted."""
    calls = []
    monkeypatch.setattr(timing, "_preemptions", lambda: len(calls))
    for long, per_round in ((0.0, 1), (1.0, 1 + timing.TRIES)):
        monkeypatch.setattr(timing, "LONG_SECONDS", long)
        monkeypatch.setattr(timing, "WARM_SECONDS", 0.0)
        monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)
        calls.clear()
        timing.interleave({"one": lambda: calls.append(1)}, rounds=4)
        assert len(calls) == 2 + 4 * per_round


def test_documents_show_what_the_file_holds():
    shown = RESULTS[-1]
    content = json.loads(shown.read_text())
    text = (ROOT / "docs/performance.md").read_text()
    assert shown.name in text
    assert "\n".join(models.markdown(content)).strip() in text
    # A new layer is not measured yet.
    assert {row["layer"] for row in content["models"]["rows"]} <= set(models.names())
