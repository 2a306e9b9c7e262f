"""Time split over one, two and four processes of this machine: passes of the operators, and memory
and time of docs/examples/long_sequence.py."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
import torch.multiprocessing

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS

from ..measure import machine, report

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "long_sequence.py"
RANKS = (1, 2, 4)
#: (B, T, C) of the operators' passes, all ranks' pieces together.
SHAPE, QUICK_SHAPE = (1, 1 << 19, 64), (1, 1 << 12, 64)
HEADER = ("operator", "pass", "one process, ms", "2 ranks", "4 ranks")
EXAMPLE_HEADER = ("processes", "GiB of each", "beyond an idle one's", "seconds of an update")


def operators() -> list[str]:
    """The cells whose time can be split."""
    return [name for name, row in CELLS.items() if not row.sequential and row.measured]


def work(
    rank: int, folder: str, shape: tuple[int, int, int], rounds: int, counts: tuple[int, ...]
) -> None:
    """A process: in every round an operator runs on one process, on two and on four, which begin
    together while the others wait."""
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=max(counts))
    groups = {count: dist.new_group(list(range(count))) for count in counts}
    times: dict[tuple, list[float]] = {}
    B, T, C = shape
    for name in operators():
        dtype = torch.complex64 if CELLS[name].complex else torch.float32
        sizes = {count: T * (rank + 1) // count - T * rank // count for count in counts}
        calls = {
            count: testing.random_call(name, B, sizes[count], C, dtype=dtype)
            for count in counts
            if rank < count
        }
        for turn, (count, group) in itertools.product(range(rounds + 1), groups.items()):
            if rank < count:
                found = _passes(calls[count], group, group if count > 1 else None)
                for part, seconds in found.items() if turn else ():
                    times.setdefault((name, part, count), []).append(seconds)
            dist.barrier()
    if rank == 0:
        torch.save(times, f"{folder}/times.pt")
    dist.destroy_process_group()


def _passes(call: testing.Call, group, split) -> dict[str, float]:
    leaves = {name: x.requires_grad_() for name, x in call.tensors().items()}
    dist.barrier(group)
    began = time.perf_counter()
    y, _ = call.apply("cpu", split, **leaves)
    dist.barrier(group)
    forward = time.perf_counter()
    torch.autograd.grad(y, list(leaves.values()), call.dy, materialize_grads=True)
    dist.barrier(group)
    return {"forward": forward - began, "backward": time.perf_counter() - forward}


def passes(shape: tuple[int, int, int], rounds: int, counts=RANKS) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (folder, shape, rounds, counts), nprocs=max(counts))
        times = torch.load(f"{folder}/times.pt")
    return [
        {
            "operator": name,
            "pass": part,
            "ms": {n: round(1e3 * median(times[name, part, n]), 2) for n in counts},
        }
        for name in operators()
        for part in ("forward", "backward")
    ]


def example(steps: int, updates: int) -> list[dict]:
    """What the example says of itself, for each number of processes; and without steps to speak
    of."""
    idle = _said(1, 1000, 1)[1]
    rows = []
    for count in RANKS:
        seconds, memory, losses = _said(count, steps, updates)
        rows.append(
            {
                "processes": count,
                "gib": memory,
                "gib_beyond_idle": round(memory - idle, 2),
                "seconds": seconds,
                "losses": losses,
            }
        )
    return rows


def _said(count: int, steps: int, updates: int) -> tuple[float, float, list[float]]:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}"]
    command += [str(EXAMPLE), f"--steps={steps}", f"--updates={updates}"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    found = re.findall(r"loss ([\d.]+), ([\d.]+) s", done.stdout)
    seconds = median(float(s) for _, s in found[1:] or found)
    memory = float(re.search(r"most memory of a process: ([\d.]+)", done.stdout)[1])
    return seconds, memory, [float(loss) for loss, _ in found]


def main(*, quick: bool, out: Path) -> None:
    about = machine.describe()
    steps, updates = (20_000, 3) if quick else (10_000_000, 12)
    shape = QUICK_SHAPE if quick else SHAPE
    content = {
        "machine": about,
        "quick": quick,
        "ranks": {
            "shape": shape,
            "passes": passes(shape, 2 if quick else 9),
            "steps": steps,
            "example": example(steps, updates),
        },
    }
    show(content)
    print(f"\nResults: {report.save(content, out, f'ranks-{machine.slug(about)}')}")


def show(content: dict) -> None:
    about, found = content["machine"], content["ranks"]
    print(
        f"{about['cpu']}, {about['cores']} cores, gloo, one thread each, float32, torch "
        f"{about['torch']}; passes of [{', '.join(map(str, found['shape']))}], medians; the "
        f"example on sequences of {found['steps']:,} steps"
    )
    print(report.table(HEADER, [cells(row) for row in found["passes"]]))
    print()
    print(report.table(EXAMPLE_HEADER, [example_cells(row) for row in found["example"]]))


def markdown(content: dict) -> list[str]:
    found = content["ranks"]
    return [
        *report.markdown(HEADER, [cells(row) for row in found["passes"]]),
        "",
        *report.markdown(EXAMPLE_HEADER, [example_cells(row) for row in found["example"]]),
    ]


def cells(row: dict) -> list[str]:
    ms = {int(count): x for count, x in row["ms"].items()}  # JSON makes text of keys
    return [row["operator"], row["pass"], *(f"{ms[count]:.1f}" for count in RANKS)]


def example_cells(row: dict) -> list[str]:
    numbers = (f"{row[key]:.2f}" for key in ("gib", "gib_beyond_idle", "seconds"))
    return [str(row["processes"]), *numbers]
