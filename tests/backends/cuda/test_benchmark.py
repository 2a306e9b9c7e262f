"""The GPU command, as far as it goes without one: its measurements and tables on the executor,
and what it says where there is no GPU."""

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import populations
from benchmarks.gpu import speed as throughput
from benchmarks.measure.traffic import OPS

pytestmark = pytest.mark.usefixtures("cuda_on_cpu")


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="this machine has a GPU: the command itself can run"
)
@pytest.mark.parametrize("arguments", [[], ["tune"]])
def test_without_a_gpu_it_says_what_is_missing(arguments, capsys, monkeypatch):
    monkeypatch.undo()
    assert gpu.main(arguments) == 2
    said = capsys.readouterr().err
    assert "This command needs a GPU" in said
    assert "backend cuda: backend 'cuda' is not available: torch" in said


def test_every_operator_is_measured_beside_a_copy(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(throughput, "SWEEP", (2, 8))
    speed = throughput.Speed(["cuda"], quick=True, device="cpu")
    speed.lengths, speed.shapes, speed.rounds = [4, 8], [(1, 5, 3)], 2
    speed.run()
    for op in OPS:
        for shape in ((2, 4, 8), (2, 8, 8), (1, 5, 3)):
            for dtype in ("float32", "bfloat16"):
                for direction in ("forward", "backward"):
                    row = speed.row(op, "cuda", shape, dtype, direction)
                    assert row.share > 0
                    assert row.gbytes_s == pytest.approx(
                        row.gelem_s
                        * OPS[op].bytes_per_element(getattr(torch, dtype), direction == "backward")
                    )
    throughput.print_tables(speed)
    assert "cuda, backward, bfloat16, B=2 C=8" in capsys.readouterr().out
    path = throughput.plot(speed, {"lrnn_kernels": "0", "gpu": "none"}, tmp_path, "plot")
    assert path.stat().st_size > 10_000
    assert speed.as_json()["small_call_us"]["cuda"] > 0


def test_the_ends_of_a_long_scan_are_compared(capsys):
    assert gpu.beyond_31_bits("cuda", device="cpu", T=131) == "ok"
    assert "134,144 elements, cuda" in capsys.readouterr().out


def test_a_failing_command_is_reported():
    assert gpu.run("a test", ["python", "-c", "print('so'); raise SystemExit(3)"]).startswith(
        "FAILED: so"
    )
    assert gpu.run("a test", ["python", "-c", "print('well')"]) == "well"


@pytest.mark.usefixtures("on_executor")
def test_populations_are_compared_and_measured(capsys, monkeypatch):
    """As on a GPU: counts of spikes, noise and pieces; what is wrong is told."""
    assert populations.values("cuda", device="cpu", count=5, T=60.0) == "ok"
    assert capsys.readouterr().out.count("100.0% of neurons") == 6
    monkeypatch.setattr(populations, "SECONDS", 0.0)
    rows = populations.rates(["cuda"], "cpu", (3,), 1)
    assert len(rows) == 6
    assert all(row["rate"] > 0 for row in rows)
    allowed = {m: populations.bound(m, 132, 1.755e9) for m in populations.STEPS}
    assert allowed["stg"] == pytest.approx(1e11, rel=0.01)  # an H100's
    populations.print_rates(rows, allowed)
    assert "neuron-steps/s" in capsys.readouterr().out
    run = populations.neurons.simulate

    def other(*call, **given):
        given["seed"] = 8 if given["backend"] == "cuda" else 7
        return run(*call, **given)

    monkeypatch.setattr(populations.neurons, "simulate", other)
    assert populations.values("cuda", device="cpu", count=2, T=5.0) == "FAILED"
    assert "noise OTHER" in capsys.readouterr().out
