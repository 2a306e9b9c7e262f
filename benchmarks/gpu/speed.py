"""Throughput on a GPU: every operator and backend against sequence length, beside a copy of the
same bytes and the peers installed.

Kernel times come from CUDA graphs of several calls, so that no time on the processor is in them;
copies are captured and interleaved with them in the same way. What Python adds to a single call is
a row of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm

from ..measure import inputs, report
from ..measure.results import Key, Results, Row, Shape
from ..measure.timing import Times, ratio
from ..measure.traffic import OPS, Calls, Op
from . import peers

SWEEP = (8, 256)  # B, C
MAIN: Shape = (8, 4096, 256)
WIDE: Shape = (64, 4096, 256)
LONE: Shape = (1, 65536, 64)
DTYPES = (torch.float32, torch.bfloat16)
PASSES = ("forward", "backward")
SECONDS = 2e-3  # of work in one captured graph, at least


class GraphClock:
    """Times calls on the GPU, captured in graphs."""

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        """A function that runs the call and gives its seconds."""
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            call()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            repeats = max(1, min(50, int(SECONDS / (time.perf_counter() - start))))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                call()

        def timed() -> float:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end) * 1e-3 / repeats

        return timed


class HostClock:
    """Times calls by the host's clock, where there are no graphs."""

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        def timed() -> float:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start

        return timed


def random_calls(op: Op, shape: Shape, dtype: torch.dtype, backend: str, device: str) -> Calls:
    """One operator on streams of what its row draws. There is no complex type of 16-bit parts:
    split storage, (B,T,2C)."""
    B, T, C = shape

    def stream(piece: torch.Tensor) -> torch.Tensor:
        width = 2 * C if op.complex else C
        values = torch.empty(B * T * width, dtype=dtype, device=device)
        x = inputs.fill(values, piece.to(device)).view(B, T, width)
        return torch.view_as_complex(x.view(B, T, C, 2)) if op.complex and dtype.itemsize > 2 else x

    params = [p.to(device) for p in inputs.params(op, C, dtype)]
    streams = [stream(piece) for piece in inputs.sample(op)]
    return Calls(op, streams, params, stream(inputs.adjoints()), backend)


def copy_of(total: float, device: str) -> Callable[[], object]:
    """A copy that reads and writes so many bytes in all."""
    source, target = (
        torch.randint(256, (int(total) // 2,), dtype=torch.uint8, device=device) for _ in range(2)
    )
    return lambda: target.copy_(source)


def interleave(timed: dict[Hashable, Callable[[], float]], rounds: int) -> Times:
    """Seconds of every case, round after round."""
    times: Times = {name: [] for name in timed}
    for _ in range(rounds):
        for name, once in timed.items():
            times[name].append(once())
    return times


class Speed:
    """Measures, and keeps what was found in ``results``."""

    def __init__(self, backends: list[str], quick: bool, device: str = "cuda"):
        self.backends, self.device = backends, device
        self.lengths = [256, 1024, 4096] if quick else [64, 256, 1024, 4096, 16384, 65536]
        self.shapes = [MAIN, WIDE, LONE]
        self.ops = OPS
        self.rounds = 5 if quick else 15
        self.clock = GraphClock() if device == "cuda" else HostClock()
        self.results = Results()
        self.calls_us: dict[str, float] = {}

    def run(self) -> None:
        shapes = list(dict.fromkeys([(SWEEP[0], T, SWEEP[1]) for T in self.lengths] + self.shapes))
        jobs = [
            (shape, op, dtype) for shape in shapes for op in self.ops.values() for dtype in DTYPES
        ]
        for shape, op, dtype in tqdm(jobs, desc="speed", leave=False, disable=None):
            self._measure(op, shape, dtype)
        self.calls_us = {backend: self._call_us(backend) for backend in self.backends}

    def as_json(self) -> dict:
        return {**self.results.as_json(), "small_call_us": self.calls_us}

    def key(self, op: str, backend: str, shape: Shape, dtype: str, direction: str) -> Key:
        return Key(op, shape, dtype, direction, backend=backend, device=self.device)

    def row(self, op: str, backend: str, shape: Shape, dtype: str, direction: str) -> Row | None:
        return self.results.rows.get(self.key(op, backend, shape, dtype, direction))

    def _measure(self, op: Op, shape: Shape, dtype: torch.dtype) -> None:
        name = str(dtype).removeprefix("torch.")
        cases: dict[Key, Callable[[], object]] = {}
        for backend in self.backends:
            calls = random_calls(op, shape, dtype, backend, self.device)
            calls.prepare_backward()
            for direction in PASSES:
                key = self.key(op.name, backend, shape, name, direction)
                cases[key] = getattr(calls, direction)
        ours = list(cases)
        for direction in PASSES:
            copy = self._copy(self.key(op.name, self.backends[0], shape, name, direction))
            total = copy.elements * op.bytes_per_element(dtype, direction == "backward")
            cases[copy] = copy_of(total, self.device)
        others = {}
        if dtype is torch.float32 and shape == MAIN:
            calls = random_calls(op, shape, dtype, self.backends[0], self.device)
            for case, call in peers.of(op, calls).items():
                others[replace(ours[0], case=case)] = call
        times = interleave(
            {key: self.clock.prepare(call) for key, call in (cases | others).items()}, self.rounds
        )
        for key in ours:
            self._keep(op, dtype, key, times)
            for other in others:
                if key.direction == other.direction:
                    of = replace(other, backend=key.backend)
                    self.results.ratios[of, key] = ratio(times, other, key)

    def _copy(self, key: Key) -> Key:
        """The copy that stands beside a pass, one for all backends."""
        return replace(key, case="torch copy", backend=self.backends[0])

    def _keep(self, op: Op, dtype: torch.dtype, key: Key, times: Times) -> None:
        copy, seconds = self._copy(key), median(times[key])
        per_element = op.bytes_per_element(dtype, key.direction == "backward")
        total = key.elements * per_element
        rates = key.elements / seconds / 1e9, per_element, total / seconds / 1e9
        copied = total / median(times[copy]) / 1e9
        self.results.add(Row(key, seconds, *rates, copied, copy.case, ratio(times, copy, key)))

    @property
    def first(self) -> Op:
        """The operator whose small call stands for all."""
        return next(iter(self.ops.values()))

    def _call_us(self, backend: str) -> float:
        """Microseconds of a small call, forward and without gradients: what Python and the
        launch cost."""
        calls = random_calls(self.first, (1, 8, 16), torch.float32, backend, self.device)
        for _ in range(20):
            calls.call()
        samples = []
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(50):
                calls.call()
            samples.append((time.perf_counter() - start) / 50 * 1e6)
        return round(median(samples), 2)


def print_tables(speed: Speed) -> None:
    B, C = SWEEP
    for backend in speed.backends:
        for dtype in ("float32", "bfloat16"):
            for direction in PASSES:
                rows = []
                for op in speed.ops:
                    found = [
                        speed.row(op, backend, (B, T, C), dtype, direction) for T in speed.lengths
                    ]
                    rows.append(
                        [op, *(f"{r.gelem_s:.1f} {r.gbytes_s:5.0f} {r.share:5.2f}" for r in found)]
                    )
                title = (
                    f"{backend}, {direction}, {dtype}, B={B} C={C}: Gelem/s, GB/s, share of "
                    "the copy"
                )
                print(report.table(["operator", *(f"T={T}" for T in speed.lengths)], rows, title))
        header = [
            "operator",
            *(f"{list(shape)} {d}" for shape in speed.shapes for d in ("fwd", "bwd")),
        ]
        rows = []
        for op in speed.ops:
            found = [
                speed.row(op, backend, shape, "float32", d)
                for shape in speed.shapes
                for d in PASSES
            ]
            rows.append([op, *(f"{r.seconds * 1e3:.3f} {r.share:5.2f}" for r in found)])
        print(report.table(header, rows, f"{backend}, float32: ms, share of the copy"))
    if speed.results.ratios:
        rows = [
            [of.operator, of.backend, f"{of.case}, {of.direction}", f"{ratio:.2f}"]
            for (of, _), ratio in speed.results.ratios.items()
        ]
        print(
            report.table(
                ["operator", "backend", "peer", "its time by ours"], rows, f"{list(MAIN)}, float32"
            )
        )
    print(
        f"\nA call of {speed.first.name} on [1, 8, 16] takes "
        + ", ".join(f"{us} us ({backend})" for backend, us in speed.calls_us.items())
        + "."
    )


def plot(speed: Speed, about: dict, folder: Path, name: str) -> Path | None:
    """The share of the copy against T, a panel per backend and direction."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return None
    B, C = SWEEP
    size = (12, 4.5 * len(speed.backends))
    figure, axes = plt.subplots(
        len(speed.backends), 2, figsize=size, sharex=True, squeeze=False, constrained_layout=True
    )
    colors = plt.get_cmap("tab20").colors
    for backend, panels in zip(speed.backends, axes, strict=True):
        for direction, ax in zip(PASSES, panels, strict=True):
            for color, op in zip(colors, speed.ops, strict=False):
                found = [
                    speed.row(op, backend, (B, T, C), "float32", direction) for T in speed.lengths
                ]
                ax.plot(
                    speed.lengths,
                    [r.gbytes_s for r in found],
                    "o-",
                    color=color,
                    label=op,
                    markersize=4,
                )
            copies = [
                speed.row(speed.first.name, backend, (B, T, C), "float32", direction).copy_gbytes_s
                for T in speed.lengths
            ]
            ax.plot(speed.lengths, copies, "k--", label="copy")
            ax.set(
                title=f"{backend}, {direction}, float32",
                xscale="log",
                xlabel="sequence length T",
                ylabel="GB/s",
                ylim=(0, None),
            )
            ax.grid(alpha=0.3)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=7,
        fontsize=9,
        frameon=False,
    )
    figure.suptitle(f"lrnn-kernels {about['lrnn_kernels']}, {about['gpu']}, B={B} C={C}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
