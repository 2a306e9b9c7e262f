"""python -m benchmarks.gpu [SUBJECT]: all that a GPU can prove, in one command.

all, the default: builds what is missing, runs the whole test suite (every backend of this machine,
the GPU's among them), compares every operator with the float64 reference, runs compute-sanitizer
over that where it is installed, captures training steps in CUDA graphs, scans more than 2^31
elements where memory allows, and measures throughput against sequence length beside a copy and the
peers that are installed; and populations of neurons, their spikes beside the CPU's and their rate
beside its bound. Writes a JSON and a plot. Exits with 1 if anything failed.

tune: measures the table of triton_kernels/config.py against what lies around its rows; see tune.py.

model: predicts, without a GPU, what the CUDA kernels should reach on an H100; see model.py.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.testing.check import run_check

from ..measure import machine, report
from . import model, populations, tune
from . import speed as throughput

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).parents[1] / "out"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("subject", nargs="?", choices=("all", "tune", "model"), default="all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and lengths")
    parser.add_argument("--no-tests", action="store_true", help="all: leave the test suite out")
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="where the JSON and the plot go (default: benchmarks/out)",
    )
    parser.add_argument(
        "--family",
        choices=tune.FAMILIES,
        action="append",
        help="tune: only this one; may be repeated",
    )
    args = parser.parse_args(arguments)
    if args.subject == "model":
        return model.main()
    known = testing.backends()
    backends = [name for name in ("cuda", "triton") if not known[name]]
    if (
        not torch.cuda.is_available()
        or not backends
        or (args.subject == "tune" and known["triton"])
    ):
        print("This command needs a GPU that runs our kernels:", file=sys.stderr)
        print(
            "\n".join(
                f"  backend {name}: {known[name] or 'available'}" for name in ("cuda", "triton")
            ),
            file=sys.stderr,
        )
        return 2

    started = time.perf_counter()
    about = machine.describe() | describe()
    print(
        f"{about['gpu']}, CUDA {about['cuda']}, torch {about['torch']}; backends "
        f"{', '.join(backends)}"
    )
    results: dict = {"machine": about, "quick": args.quick}
    name = f"gpu-{machine.slug(about | {'cpu': about['gpu'], 'isa': 'cuda'})}"
    if args.subject == "tune":
        results["tune"] = tune.main(args.quick, args.family or list(tune.FAMILIES))
        print(
            f"\n{time.perf_counter() - started:.0f} s in all. Results: "
            f"{report.save(results, args.out, name + '-tune')}"
        )
        return 1 if any(x["why"] == "WRONG" for x in results["tune"]["left_out"]) else 0
    if not args.no_tests:
        results["tests"] = run("the test suite", [sys.executable, "-m", "pytest", "-x"])
    results["check"] = check(backends)
    results["sanitizer"] = (
        sanitize() if "cuda" in backends else "there are no CUDA kernels to watch"
    )
    results["graphs"] = {backend: graphs(backend) for backend in backends}
    results["long"] = {backend: beyond_31_bits(backend) for backend in backends}
    results["populations"] = populations.main(args.quick)
    speed = throughput.Speed(backends, args.quick)
    speed.run()
    throughput.print_tables(speed)
    results["speed"] = speed.as_json()
    print(f"\nPlot: {throughput.plot(speed, about, args.out, name)}")
    results["seconds"] = round(time.perf_counter() - started, 1)
    print(f"Results: {report.save(results, args.out, name)}")
    failed = [
        part
        for part in ("tests", "check", "sanitizer", "graphs", "long", "populations")
        if "FAILED" in str(results.get(part))
    ]
    print(
        f"{results['seconds']:.0f} s in all. "
        + (f"FAILED: {', '.join(failed)}" if failed else "Nothing failed.")
    )
    return 1 if failed else 0


def describe() -> dict:
    """The GPU, for the JSON."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "gpu_memory_gb": round(properties.total_memory / 1e9, 1),
        "l2_mib": properties.L2_cache_size >> 20,
        "cuda": torch.version.cuda or f"HIP {torch.version.hip}",
        "driver": _driver(),
        "backends": {name: why or "available" for name, why in testing.backends().items()},
    }


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = [
        "nvidia-smi",
        "--query-gpu=driver_version,clocks.max.sm,clocks.max.mem,power.limit",
        "--format=csv,noheader",
    ]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()


def run(what: str, command: list[str]) -> str:
    """Runs a command; returns its last line, with FAILED in front where it failed."""
    print(f"\n{what}: {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines() or [""]
    print("\n".join(lines[-15:] if done.returncode else lines[-1:]))
    return lines[-1] if done.returncode == 0 else f"FAILED: {lines[-1]}"


def check(backends: list[str]) -> str:
    """Every operator of the GPU's backends against the float64 reference."""
    done = run_check(backends=backends)
    print(done)
    return "ok" if done.ok else "FAILED"


def sanitize() -> str:
    """The check once more, every memory access of it watched."""
    if shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer is not installed"
    command = [
        "compute-sanitizer",
        "--tool",
        "memcheck",
        "--error-exitcode",
        "9",
        sys.executable,
        "-c",
    ]
    script = (
        "from benchmarks.gpu import populations; "
        "assert populations.values('cuda', count=37, T=50.0) == 'ok'; "
        "from lrnn_kernels.testing.check import run_check; report = "
        "run_check(backends=['cuda']); assert report.ok; print('no errors')"
    )
    return run("compute-sanitizer", [*command, script])


def graphs(backend: str) -> str:
    """A training step captured once gives, replayed on other inputs, the bits of an eager one."""
    k, v = (torch.randn(4, 300, 64, device="cuda", requires_grad=True) for _ in range(2))

    def step() -> list[torch.Tensor]:
        y, _ = lrnn_kernels.min_gru(k, v, backend=backend)
        return [y, *torch.autograd.grad(y.square().sum(), (k, v))]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        k.normal_()
    graph.replay()
    same = all(torch.equal(a, b) for a, b in zip(captured, step(), strict=True))
    print(f"CUDA graph, {backend}: {'the same bits as eager' if same else 'FAILED'}")
    return "ok" if same else "FAILED"


def beyond_31_bits(backend: str, device: str = "cuda", T: int = (1 << 21) + 1) -> str:
    """A scan of T x 1024 elements, more than 2^31: its end, and the beginning of its gradient,
    are those of a short one."""
    C, tail = 1024, 64
    needed = 5 * 2 * T * C
    if device == "cuda" and torch.cuda.mem_get_info()[0] < needed:
        return f"not run: {needed >> 30} GiB of free memory are needed"
    b = torch.randn(1, T, C, device=device, dtype=torch.bfloat16, requires_grad=True)
    a = torch.full((C,), 0.5, device=device)
    y, _ = lrnn_kernels.linear_scan(a, b, backend=backend)  # what is older than 64 steps is gone
    dy = torch.randn(1, T, C, device=device, dtype=torch.bfloat16)
    (db,) = torch.autograd.grad(y, b, dy)
    expected, _ = lrnn_kernels.linear_scan(
        a.double(), b[:, -2 * tail :].double(), backend="reference"
    )
    flow, _ = lrnn_kernels.linear_scan(
        a.double(), dy[:, : 2 * tail].double(), reverse=True, backend="reference"
    )
    errors = [
        (y[:, -tail:] - expected[:, -tail:]).abs().max().item(),
        (db[:, :tail] - flow[:, :tail]).abs().max().item(),
    ]
    ok = max(errors) < 0.05  # half a bfloat16 step at values below 8 is 0.016
    elements = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", str(T * C))
    print(
        f"{elements} elements, {backend}: largest errors {errors[0]:.3g} and {errors[1]:.3g} "
        f"{'ok' if ok else 'FAILED'}"
    )
    return "ok" if ok else "FAILED"


if __name__ == "__main__":
    sys.exit(main())
