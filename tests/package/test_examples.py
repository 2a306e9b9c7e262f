"""The examples run, as their first lines say."""

import os
import re
import subprocess
import sys

import pytest

from benchmarks.cpu import ranks
from tests import ROOT

EXAMPLES = ROOT / "docs" / "examples"


def run(*command: str, cwd=ROOT) -> str:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


#: Every example: arguments that make it short, and what it then says.
SHORT = {
    "agent_in_gymnasium.py": (["--iterations", "1"], "corridors of 2,000 cells: "),
    "digits_to_vhdl.py": (
        ["--steps", "20", "--neurons", "20", "--frames", "22"],
        "Simulation(frames=44, values=",
    ),
    "hybrid.py": (["--updates", "60", "--longer", "20"], "1,000 steps: accuracy "),
    "model_with_context.py": (["--epochs", "2"], "simulated in two variables: (2, 26, 3)"),
    "recording_to_twins.py": (["--twins", "2"], "unit 1: BURSTING"),
}


def test_every_example_is_here():
    assert {p.name for p in EXAMPLES.glob("*.py")} == {*SHORT, "long_sequence.py"}


@pytest.mark.parametrize("name", SHORT)
def test_examples_run(name, tmp_path):
    arguments, says = SHORT[name]
    assert says in run(str(EXAMPLES / name), *arguments, cwd=tmp_path)


@pytest.fixture(scope="module")
def losses() -> dict[int, list[float]]:
    """Of sequences of some blocks of noise, by the number of processes."""
    found = {}
    for count in (1, 3):
        command = ("-m", "torch.distributed.run", f"--nproc-per-node={count}")
        options = ("--steps", "70000", "--updates", "12", "--units", "16", "--batch", "4")
        said = run(*command, str(EXAMPLES / "long_sequence.py"), *options)
        assert f"{count} processes, {70_000 // count:,} of 70,000 steps in each" in said
        assert "most memory of a process" in said
        found[count] = [float(x) for x in re.findall(r"loss ([\d.]+)", said)]
    return found


def test_a_sequence_over_processes_trains_as_on_one(losses):
    assert len(losses[1]) == 12
    assert losses[3] == pytest.approx(losses[1], abs=2e-3)


def test_a_sequence_over_processes_is_learned(losses):
    assert sum(losses[1][-3:]) < 0.5 * sum(losses[1][:3])


def test_passes_over_processes_are_measured():
    rows = ranks.passes((1, 64, 64), 1, counts=(1, 2))
    assert {row["operator"] for row in rows} == set(ranks.operators())
    assert all(row["ms"][count] > 0 for row in rows for count in (1, 2))
