"""Neurons beside other programs, and their rates: what is compared, and what is said where nothing
is."""

import dataclasses
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from benchmarks.claims import CLAIMS, cpu_time, neuron_gpu, neuron_rates, neuron_times
from benchmarks.claims import neurons_beside as beside
from benchmarks.claims.neuron_peers import PEERS, Peer
from lrnn_kernels import neurons
from lrnn_kernels.backends.build import toolchain
from tests import ROOT
from tests.systems.neurons.cases import STG

INSTALLED = [name for name, peer in PEERS.items() if not peer.missing()]
assert any("SciPy" in name for name in INSTALLED)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(beside, "PERIOD", (100.0, 0.0))
    monkeypatch.setattr(beside, "ROUNDS", 2)
    monkeypatch.setattr(beside, "LEAST", 0.0)
    for name, value in beside.ONE_THREAD.items():
        monkeypatch.setenv(name, value)  # and what it was, afterwards


def counts(g, T: float, discard: float = 0.0) -> np.ndarray:
    """Spikes by the scheme that peers with a fixed step have."""
    g = torch.as_tensor(np.asarray(g))
    given = {"dtype": torch.float64, "scheme": "exponential_euler", "backend": "cpu"}
    return neurons.simulate("stg", g, T, discard=discard, **given).spikes.counts.numpy()


def fake(prepare=None, **given) -> Peer:
    """A peer that is our own scheme, or gives what it is told to."""
    prepare = prepare or (lambda g, start, T, discard: lambda: counts(g, T, discard))
    golden = tuple(counts(beside.GOLDEN, 100.0).tolist())
    given = {"packages": (), "sizes": (3,), "golden": golden, **given}
    return Peer(name="fake", prepare=prepare, **given)


def run_of(monkeypatch, peer: Peer) -> tuple[dict, list[str]]:
    """What the run of a peer finds, and its row."""
    monkeypatch.setattr(beside, "PEERS", {"fake": peer})
    setting = {"peer": "fake", "neurons": 3, "ms": 10.0}
    found = {**setting, "seed": 0, **beside.run(setting, 0, None)}
    [row] = beside.table([found])
    assert len(row) == len(beside.CLAIM.header)
    return found, row


def test_a_peer_is_timed_where_it_gives_the_spikes(monkeypatch):
    found, row = run_of(monkeypatch, fake(goal=2.0))
    assert len(found["theirs"]) == len(found["ours"]) == 2
    assert min(*found["theirs"], *found["ours"]) > 0
    assert found["ratio"] == pytest.approx(float(row[-2].replace(",", "")), rel=0.01)
    assert row[-1] == "2"


@pytest.mark.parametrize("off", [(1, 0, 0), (0, 0, -1), (1, -1, 0)])
def test_a_peer_that_gives_other_spikes_is_not_compared(monkeypatch, off):
    found, row = run_of(
        monkeypatch,
        fake(lambda g, start, T, discard: lambda: counts(g, T, discard) + np.array(off)),
    )
    assert "theirs" not in found
    assert row[2].startswith("not compared: its spikes are")
    assert row[3:-1] == ["", "", "", ""]


def test_a_peer_that_is_not_installed_says_so(monkeypatch):
    found, row = run_of(monkeypatch, fake(packages=("sys", "no_such_package")))
    assert found["missing"] == "no_such_package is not installed"
    assert row[2] == "no_such_package is not installed"


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_row(monkeypatch, name):
    """Installed or not, none is silently missing."""
    for package in PEERS[name].packages:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("benchmarks.claims.neuron_peers.peer.import_module", _gone)
    settings = [s for s in CLAIMS["neurons-peers"].settings(False) if s["peer"] == name]
    assert [s["neurons"] for s in settings] == list(PEERS[name].sizes)
    for setting in settings:
        found = {**setting, "seed": 0, **beside.run(setting, 0, None)}
        [row] = beside.table([found])
        assert row[0] == name
        assert row[2] == f"{PEERS[name].packages[0]} is not installed"


def _gone(name: str):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'its_part'", name="its_part"),
        ModuleNotFoundError("No module named 'there.part'", name="there.part"),
        AttributeError("type object 'numpy.ndarray' has no attribute 'ptp'"),
        ImportError("libomp.so is missing"),
        RuntimeError("built for another numpy"),
    ],
)
def test_a_package_that_is_broken_is_no_missing_one(monkeypatch, error):
    """It is there, and its row says what is wrong; the others are compared."""

    def broken(name: str):
        raise error

    monkeypatch.setattr("benchmarks.claims.neuron_peers.peer.import_module", broken)
    found, row = run_of(monkeypatch, fake(packages=("there",)))
    assert found["missing"].startswith("there cannot be imported: ")
    assert str(error) in row[2]


@pytest.mark.parametrize("name", INSTALLED)
def test_peers_that_are_installed_spike_as_ours(name):
    """Before rounding has grown; and from ``discard`` on."""
    start = neurons.STG.start(1)[0].numpy()
    for discard in (0.0, 60.0):
        found = PEERS[name].prepare(beside.GOLDEN, start, 120.0, discard)()
        assert found.tolist() == counts(beside.GOLDEN, 120.0, discard).tolist()


def test_golden_neurons_are_those_of_the_tests():
    assert np.array_equal(beside.GOLDEN, STG.numpy())
    for peer in PEERS.values():
        assert max(abs(a - b) for a, b in zip(peer.golden, (58, 111, 40), strict=True)) <= 1
        if peer.steps and "Brian2" not in peer.name:
            assert peer.golden == (58, 111, 40)


def test_cpu_time_is_of_threads_and_children_too(monkeypatch):
    monkeypatch.setattr(neuron_times, "SPINS", 50)
    spin = "import time\nwhile time.process_time() < 0.2: pass"

    def child():
        subprocess.run([sys.executable, "-c", spin], check=True)

    assert cpu_time.of(child) >= 0.2

    def thread():
        one = threading.Thread(target=neuron_times._spin, args=(1,))
        one.start()
        one.join()

    here = cpu_time.of(lambda: neuron_times._spin(1))
    assert cpu_time.of(thread) == pytest.approx(here, rel=0.7)
    calls = []
    cpu_time.of(lambda: (calls.append(1), neuron_times._spin(1)), least=2.5 * here)
    assert len(calls) > 1


def test_rounds_go_both_ways():
    order = []
    cases = {name: (lambda name=name: order.append(name) or len(order)) for name in "ab"}
    found = cpu_time.interleaved(cases, 2, lambda share: None)
    assert order == ["a", "b", "b", "a"]
    assert found == {"a": [1, 4], "b": [2, 3]}
    assert cpu_time.ratio({"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0, 4.0]}, "a", "b") == 2.0


def test_instruction_sets_are_those_of_this_processor(monkeypatch):
    monkeypatch.delenv("LRNN_ISA", raising=False)
    best = toolchain.host_isa()
    for host, expected in {
        "avx512_bf16": ["avx512_bf16", "avx2", "baseline"],
        "avx512": ["avx512", "avx2", "baseline"],
        "avx2": ["avx2", "baseline"],
        "baseline": ["baseline"],
    }.items():
        monkeypatch.setattr(toolchain, "host_isa", lambda host=host: host)
        assert neuron_rates.instruction_sets("all") == expected
        assert neuron_rates.instruction_sets("best") == expected[:1]
    assert best in toolchain.X86_ISAS


def test_the_axon_fires_where_its_rate_is_measured():
    g, current = neuron_rates._population("hh", 8, 0)
    spikes = neurons.simulate("hh", g, 200.0, current=current, backend="cpu").spikes
    assert (spikes.counts > 5).all()
    assert neuron_rates._population("stg", 8, 0)[1] is None


def test_a_process_of_another_instruction_set_is_refused(monkeypatch, capfd):
    """One that the processor does not run ends, which is said."""
    monkeypatch.setattr(neuron_rates, "RATED_MS", 10.0)
    setting = {"model": "stg", "dtype": "float32", "dt": 0.025}
    with (
        pytest.raises(RuntimeError, match="the process of the instruction set mmx has ended"),
        neuron_rates._process("mmx", setting, 0),
    ):
        pass
    assert "LRNN_ISA" in capfd.readouterr().err


def test_the_prediction_counts_what_the_equations_have():
    """Exponentials in the headers, and one of the voltage's relaxation and a stiff gate's."""
    for name, step in neuron_gpu.STEPS.items():
        code = (ROOT / f"csrc/neurons/{name}.h").read_text()
        exponentials = 2 * code.count("sigmoid_gate(v") + len(
            re.findall(r"exp_of\(v|linear_over_exp\(v", code)
        )
        stiff = "kStiff = -1" not in code
        assert step.exponentials == exponentials + 1 + stiff
        gates = int(re.search(r"kGates = (\d+)", code)[1])
        others = len(re.findall(r"= reciprocal\(|divided\(", code))
        assert step.reciprocals == gates + 1 + others
    assert neuron_gpu.rate(neuron_gpu.HOPPER, neuron_gpu.STEPS["stg"]) == pytest.approx(
        0.75 * 132 * 1.75e9 / (38 / 16)
    )
    bound = dataclasses.replace(neuron_gpu.HOPPER, special=1000)
    issue = neuron_gpu.rate(bound, neuron_gpu.STEPS["stg"])
    assert issue == pytest.approx(0.75 * 132 * 1.75e9 / ((38 + 235) / 128))


def test_one_core_has_no_second_thread(monkeypatch):
    monkeypatch.setattr("benchmarks.measure.machine.cores", lambda: 1)
    setting = {"kind": "threads", "model": "stg", "threads": 2}
    assert neuron_times.run(setting, 0, None) == {"missing": "this machine has 1 core"}


def test_predictions_are_marked(monkeypatch):
    found = [
        {"kind": "piece", "model": "stg", "pairs": 1, "neurons": 100, "cpu": 1.0, "saving": 0.1}
    ]
    found += [
        {**setting, **neuron_times.run(setting, 0, None)}
        for setting in neuron_times.settings(False)
        if setting["kind"] == "predicted"
    ]
    rows = neuron_times.table(found)
    assert rows[0][-1] == f"{1_200_000 / 100 / 60:.1f} min"
    assert all(row[2].startswith("predicted, not measured: 132 multi") for row in rows[1:])
