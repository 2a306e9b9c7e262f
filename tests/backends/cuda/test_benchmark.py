"""The GPU's proof as far as it goes without one: all of its sections on the executor and in
Triton's interpreter, what they say of a tool and a device that are not here, and what the command
says where there is no GPU."""

import json
import stat
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import device, model, neurons, timing
from benchmarks.gpu.journal import collect, read
from benchmarks.gpu.place import Limit, Place
from benchmarks.gpu.sections import SECTIONS, graphs, machine, matrix, sanitizer, speed
from benchmarks.measure import report
from benchmarks.measure.traffic import OPS
from lrnn_kernels import testing
from lrnn_kernels.backends import triton
from tests import ROOT


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="this machine has a GPU: the command itself can run"
)
@pytest.mark.parametrize("subject", ["proof", "tune"])
def test_without_a_gpu_it_says_what_is_missing(subject, tmp_path, capsys):
    arguments = [subject, "--section", "machine", "--minutes", "5", "--out", str(tmp_path)]
    assert gpu.main(arguments) == 2
    said = capsys.readouterr()
    if subject == "proof":
        assert "No GPU that runs our kernels" in said.err
        assert "skipped: no GPU is here, or torch has no CUDA" in said.out
    else:
        assert "This command needs a GPU that runs our Triton kernels" in said.err


def test_every_section_runs(tmp_path, operators_on_executor):
    """Each with results, none with a failure, all of it on the disk; and how long each took beside
    what it may take on a GPU, for who runs this test with -s."""
    command = [sys.executable, "-m", "benchmarks", "gpu", "--dry-run", "--minutes", "15"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout[done.stdout.index("what was reached") :])
    (lines,) = tmp_path.glob("*.jsonl")
    content = json.loads(lines.with_suffix(".json").read_text())
    assert content == json.loads(json.dumps(collect(read(lines))))
    assert list(content["sections"]) == [section.name for section in SECTIONS]
    for name, section in content["sections"].items():
        assert section["state"] == "done", name
        assert section["results"], name
        assert not section["left_out"], name
    assert lines.with_suffix(".png").stat().st_size > 10_000
    rows = content["sections"]["speed"]["results"]
    shares = [row for row in rows if "share" in row]
    assert {row["backend"] for row in shares} == {"cuda", "triton"}
    assert all(row["share"] > 0 for row in shares)
    modelled = {row["backend"] for row in shares if "model_share" in row}
    assert modelled == {"cuda"}


def test_the_weights_are_seconds_that_eight_minutes_have():
    """But for what is done only where nothing was prepared, or is worth least: none of the first
    ones lacks time."""
    seconds = {section.name: section.weight for section in SECTIONS}
    first = ("machine", "values", "compile", "speed", "matrix", "rates", "graphs", "long")
    assert sum(seconds[name] for name in first) < 0.75 * 60 * gpu.MINUTES
    assert all(section.least <= section.weight for section in SECTIONS)


@pytest.mark.usefixtures("on_executor")
def test_other_populations_are_seen(monkeypatch):
    (other, *_) = neurons.compared("cuda", "hh", "cpu", 3, 10.0)
    assert other.ok
    run = neurons.neurons.simulate

    def changed(*call, **given):
        given["seed"] = 8 if given["backend"] == "cuda" else 7
        return run(*call, **given)

    monkeypatch.setattr(neurons.neurons, "simulate", changed)
    (other, *_) = neurons.compared("cuda", "hh", "cpu", 2, 5.0)
    assert "noise OTHER" in str(other)
    assert other.as_json()["failed"]
    allowed = {m: neurons.bound(m, 132, 1.755e9) for m in neurons.STEPS}
    assert allowed["stg"] == pytest.approx(1e11, rel=0.01)  # an H100's


#: What the tool says and how it ends, and what is told of it.
SAID = {
    "all is well": ("ran a\nran b\nall\n========= ERROR SUMMARY: 0 errors", 0, {"complete": True}),
    "a part": ("ran a\n========= ERROR SUMMARY: 0 errors", 0, {"complete": False, "calls": 1}),
    "an access": (
        "ran a\n========= Invalid __global__ read of size 4 bytes\n========= at affine",
        99,
        {"failed": "Invalid __global__ read of size 4 bytes; at affine", "calls": 1},
    ),
    "a crash": ("Traceback\nValueError: no", 1, {"failed": "Traceback ValueError: no status 1"}),
    "no device": (
        "========= Error: Device not supported. Please refer to the documentation",
        1,
        {"left_out": "Error: Device not supported. Please refer to the documentation"},
    ),
}


class Gpu(Place):
    """Stands for a place with a GPU."""

    def __init__(self):
        super().__init__(stands_in=False)

    missing = {"cuda": "", "triton": ""}  # noqa: RUF012


@pytest.mark.parametrize("said", SAID)
def test_what_the_sanitizer_says_is_told(said, tmp_path, monkeypatch):
    text, status, told = SAID[said]
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\ncat <<'E'\n" + text + f"\nE\nexit {status}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sanitizer, "TOOL", str(tool))
    assert len(sanitizer.units(Gpu())) == 2 * 5
    found = []
    sanitizer.run(Gpu(), ("memcheck", "affine"), lambda **row: found.append(row), Limit(100))
    (row,) = found
    assert row.items() >= told.items()
    assert ("failed" in row) == ("failed" in told)


def test_a_sanitizer_without_end_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(sanitizer, "TO_END", 0.0)
    place, found = Gpu(), []
    monkeypatch.setattr(sanitizer, "TOOL", sys.executable)
    monkeypatch.setitem(sanitizer.TOOLS, "racecheck", ())
    run = sanitizer._run
    sleep = [sys.executable, "-uc", "import time; print('ran a'); time.sleep(100)"]
    monkeypatch.setattr(sanitizer, "_run", lambda command, seconds: run(sleep, 1.0))
    sanitizer.run(place, ("racecheck", "affine"), lambda **row: found.append(row), Limit(1.0))
    assert found[0]["left_out"].startswith("no end after")
    assert found[0]["calls"] == 1
    assert not place.tidy()  # its process is replaced


class Sizes(Gpu):
    """The sizes of a GPU, of tensors that hold nothing."""

    def __init__(self):
        super().__init__()
        self.device = "meta"

    clock = events = timing.HostClock()

    def warm_up(self):
        pass


@pytest.mark.parametrize("section", [speed, matrix])
def test_full_sizes_are_measured_and_predicted(section, monkeypatch):
    """Every unit of a GPU's, but for what calls public functions; the model knows them all, but
    for a new cell."""
    h200 = device.Device(4.3e12, 132, 60 << 20, 4.9e12)
    monkeypatch.setattr(section, "device", lambda place: h200)
    monkeypatch.setattr(section, "ROUNDS", 1)
    assert not triton.failure()
    place, found = Sizes(), []
    for unit in section.units(place):
        if unit[0] not in (speed.CALL, speed.PEERS, matrix.LAYER):
            section.run(place, unit, lambda **row: found.append(row), Limit(100))
    cuda = [row for row in found if row["backend"] == "cuda"]
    assert len(cuda) > 80
    new = {name for name, op in OPS.items() if not model.is_measured(op)}
    assert all(row["model_seconds"] > 0 for row in cuda if row["operator"] not in new)
    assert all("ms" in row["text"] for row in found)


def test_a_backend_that_cannot_run_costs_the_others_nothing(monkeypatch):
    make, found = timing.random_calls, []

    def broken(op, shape, dtype, backend, device):
        if backend == "triton":
            raise RuntimeError("it does not compile")
        return make(op, shape, dtype, backend, device)

    monkeypatch.setattr(timing, "random_calls", broken)
    monkeypatch.setattr(speed, "device", lambda place: device.H100)

    def no_compiler(*call, **given):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(speed.model, "predict", no_compiler)
    speed.run(
        Sizes(), ("min_gru", "float32", (2, 8, 8)), lambda **row: found.append(row), Limit(10)
    )
    rows = {row["backend"]: row for row in found}
    assert rows["triton"]["failed"] == "RuntimeError: it does not compile"
    assert rows["cuda"]["share"] > 0
    assert rows["cuda"]["model_missing"] == "no C++ compiler"


class Cuda:
    """Enough of torch.cuda to see in which order it is used: a graph replays what was called while
    it was captured."""

    def __init__(self):
        self.calls, self.recording, self.now = 0, None, 0.0

    def patch(self, monkeypatch):
        for name in ("Stream", "stream", "current_stream", "graph", "CUDAGraph", "Event"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        for name in ("synchronize", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda: None)

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def stream(self, stream):
        return nullcontext()

    def CUDAGraph(self):
        graph = SimpleNamespace(captured=[])
        graph.replay = lambda: [call() for call in graph.captured]
        return graph

    @contextmanager
    def graph(self, graph):
        self.recording = graph.captured
        yield
        self.recording = None

    def call(self, work):
        """Runs work, or records it."""
        self.calls += 1
        if self.recording is not None:
            self.recording.append(work)
        work()

    def Event(self, enable_timing):
        event = SimpleNamespace()

        def record():
            event.at = self.now

        event.record = record
        event.elapsed_time = lambda end: 1e3 * (end.at - event.at)
        return event


@pytest.mark.parametrize("clock", [timing.GraphClock, timing.EventClock])
def test_clocks_give_the_seconds_of_a_call(clock, monkeypatch):
    cuda = Cuda()
    cuda.patch(monkeypatch)

    def work():
        cuda.now += 0.25

    once = clock().prepare(lambda: cuda.call(work))
    assert once() == pytest.approx(0.25)
    assert cuda.calls > 2
    times = timing.interleave({"a": once, "b": once}, 3)
    assert times == {"a": [pytest.approx(0.25)] * 3, "b": [pytest.approx(0.25)] * 3}


def test_a_clock_waits_for_what_was_computed():
    """Once for all calls of a round, the wait in their seconds."""
    events = []
    call, wait = lambda: events.append("call") or len(events), lambda result: events.append(result)
    once = timing.WaitClock(wait).prepare(call)
    assert events == ["call", 1, "call", 3]
    assert once() > 0
    assert events[4:] == ["call"] * timing.MOST + [4 + timing.MOST]


def test_a_replay_is_of_the_other_numbers(monkeypatch):
    """What was captured on one call is compared after the other's numbers are in its tensors."""
    cuda = Cuda()
    cuda.patch(monkeypatch)
    a, b = (testing.random_call("min_gru", 1, 3, 4, seed=seed) for seed in range(2))
    run, results = testing.run, {}

    def captured(call, backend):
        cuda.call(lambda: results.update(run(call, "reference")))
        return results

    monkeypatch.setattr(testing, "run", captured)
    got = graphs.replayed(a, b, "cuda")
    expected = run(b, "reference")
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], x) for name, x in expected.items())


def test_a_gpu_is_described(monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '580.1, 1980, 3201, 700.00'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    properties = SimpleNamespace(
        name="a GPU", major=9, minor=0, multi_processor_count=132, total_memory=1.5e11
    )
    properties.L2_cache_size = 60 << 20
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    about = machine.describe(Gpu())
    assert (about["driver"], about["max_sm_mhz"], about["l2_mib"]) == ("580.1", "1980", 60)
    assert machine.hertz(Gpu()) == 1.98e9
    monkeypatch.setattr(machine, "copy_rate", lambda place, total: 4.3e12)
    assert machine.device(Gpu()) == device.Device(4.3e12, 132, 60 << 20)
    properties.memory_bus_width = 6144
    assert machine.device(Gpu()).plan.bytes_in_flight == pytest.approx(3.93e6, rel=0.01)
    monkeypatch.setenv("PATH", "")
    assert machine.driver() == {}
    assert machine.hertz(Gpu()) == 1.755e9


def test_results_are_whole_at_all_times(tmp_path):
    path = report.save({"a": 1}, tmp_path, "results")
    assert report.save({"a": 2}, tmp_path, "results") == path
    assert json.loads(path.read_text()) == {"a": 2}
    assert list(tmp_path.iterdir()) == [path]
