"""Throughput of every operator against sequence length, beside a copy of the same bytes,
hand-written peers and the eager loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

from lrnn_kernels import testing

from ..measure.copy_bandwidth import CopyBandwidth, huge_empty
from ..measure.timing import Times, best_of, interleave, pieces, ratio
from ..measure.traffic import OPS, Calls, Op
from . import peers, products

Shape = tuple[int, int, int]  # B, T, C

SWEEP = (8, 256)  # B, C
MAIN: Shape = (8, 4096, 256)
PIXELS: Shape = (32, 784, 256)  # sequential MNIST, batched
LONE: Shape = (1, 65536, 16)  # one long, narrow sequence: threads could share its time only
DTYPES = (torch.float32, torch.bfloat16)
LOOP_LENGTHS = (64, 256)
CALL = "time of the public call by the operator's"
PACKED = (
    "time with streams, or parts of complex ones, side by side in a row as one GEMM writes "
    "them, by that of streams apart"
)
TIME_MAJOR = (
    "time with streams time-major in memory, (T,B,nC) where they are n, by that of "
    "batch-major streams apart"
)
ALONE = "time of one thread's copy by that of one thread"
STREAMS = "time of only moving the same streams, by ours"


@dataclass
class Row:
    """One measured pass; share is the copy's time by the pass's, the median over rounds."""

    op: str
    shape: Shape
    dtype: str
    threads: int
    direction: str  # "forward", "backward" or "train"
    seconds: float
    gelem_s: float
    bytes_per_element: float
    gbytes_s: float
    copy_gbytes_s: float
    copy_kind: str
    share: float


class Bank:
    """Streams of random values on huge pages, drawn once and cut to every shape: drawing would
    take longer than measuring."""

    def __init__(self, largest: int):
        self.pages: dict[tuple[str, torch.dtype], Tensor] = {}
        self.largest = largest  # real values

    def stream(
        self, kind: str, number: int, shape: Shape, dtype: torch.dtype, complex: bool
    ) -> Tensor:
        B, T, C = shape
        values = self._values(f"{kind}{number}", dtype)[: B * T * C * (2 if complex else 1)]
        if not complex:
            return values.view(B, T, C)
        if (
            dtype.itemsize == 2
        ):  # there is no complex type of 16-bit parts: split storage, as one real GEMM writes it
            return values.view(B, T, 2 * C)
        return torch.view_as_complex(values.view(B, T, C, 2))

    def _values(self, name: str, dtype: torch.dtype) -> Tensor:
        if (name, dtype) not in self.pages:
            pages = huge_empty(self.largest * dtype.itemsize).view(dtype)
            torch.manual_seed(len(self.pages))
            period = min(self.largest, 1 << 20)
            drawn = torch.rand(period) if name.startswith("gate") else torch.randn(period)
            for start in range(0, self.largest, period):
                n = min(period, self.largest - start)
                pages[start : start + n] = drawn[:n]
            self.pages[name, dtype] = pages
        return self.pages[name, dtype]

    def packed(
        self, op: Op, shape: Shape, dtype: torch.dtype, time_major: bool = False
    ) -> Calls | None:
        """All streams in one tensor (B,T,nC), or a complex one in two real planes: passes only.
        None for what is one real stream."""
        streams = 2 if op.complex else len(op.streams)
        if streams == 1:
            return None
        width = (*shape[:2], streams * shape[2])
        dy = (*shape[:2], 2 * shape[2]) if op.complex else shape
        inputs = [self._ordered("gate", 9, width, dtype, False, time_major)]
        return Calls(
            op,
            inputs,
            op.params(shape[2], dtype),
            self._ordered("normal", 9, dy, dtype, False, time_major),
        )

    def calls(self, op: Op, shape: Shape, dtype: torch.dtype, time_major: bool = False) -> Calls:
        streams = [
            self._ordered(kind, i, shape, dtype, op.complex, time_major)
            for i, kind in enumerate(op.streams)
        ]
        return Calls(
            op,
            streams,
            op.params(shape[2], dtype),
            self._ordered("normal", 9, shape, dtype, op.complex, time_major),
        )

    def _ordered(
        self,
        kind: str,
        number: int,
        shape: Shape,
        dtype: torch.dtype,
        complex: bool,
        time_major: bool,
    ) -> Tensor:
        """A stream (B,T,C), time-major in memory if wanted."""
        B, T, C = shape
        if time_major:
            return self.stream(kind, number, (T, B, C), dtype, complex).transpose(0, 1)
        return self.stream(kind, number, shape, dtype, complex)


class Speed:
    """Measures and keeps the rows."""

    def __init__(self, quick: bool):
        self.lengths = [64, 256, 1024, 4096] if quick else [64, 256, 1024, 4096, 16384]
        self.rounds = 3 if quick else 7
        self.threads = torch.get_num_threads()
        self.rows: list[Row] = []
        self.ratios: list[dict] = []  # bf16 against float32, threads, peers, the loop
        largest = max(
            B * T * C for B, T, C in [(SWEEP[0], max(self.lengths), SWEEP[1]), PIXELS, LONE]
        )
        self.bank = Bank(max(2 * largest, 3 * max(_elements(MAIN), _elements(PIXELS))))
        self.copies = CopyBandwidth(
            max(int(largest * op.bytes_per_element(torch.float32, True)) for op in OPS.values())
        )

    def run(self) -> None:
        jobs: list[tuple[str, Callable[[Op], None]]] = [
            *(
                (
                    f"[{SWEEP[0]},{T},{SWEEP[1]}]",
                    lambda op, T=T: self._shape(op, (SWEEP[0], T, SWEEP[1])),
                )
                for T in self.lengths
            ),
            (str(list(PIXELS)), lambda op: self._shape(op, PIXELS)),
            (str(list(LONE)), self._lone),
            ("the eager loop", self._loop),
        ]
        with tqdm(total=len(jobs) * len(OPS), desc="speed", leave=False) as bar:
            for name, job in jobs:
                for op in OPS.values():
                    bar.set_postfix_str(f"{op.name} {name}")
                    job(op)
                    bar.update()
        self.ratios += products.measure(self.rounds)

    def row(
        self, op: str, shape: Shape, dtype: str, direction: str, threads: int | None = None
    ) -> Row | None:
        wanted = (op, shape, dtype, direction, threads or self.threads)
        return next(
            (r for r in self.rows if (r.op, r.shape, r.dtype, r.direction, r.threads) == wanted),
            None,
        )

    def as_json(self) -> dict:
        return {
            "copy": self.copies.how,
            "pieces": dict(pieces),
            "rows": [asdict(row) for row in self.rows],
            "ratios": self.ratios,
        }

    # What is compared is always one call of interleave: both dtypes, both directions, their copies
    # and their peers.

    def _shape(self, op: Op, shape: Shape) -> None:
        big = shape in (MAIN, PIXELS)
        cases: dict[str, Callable[[], object]] = {}
        for dtype in DTYPES:
            calls = self.bank.calls(op, shape, dtype)
            calls.prepare_backward()
            cases |= self._passes(calls, shape, dtype, train=big)
            if big and dtype is torch.float32:
                cases["float32 call"] = calls.call
                packed = self.bank.packed(op, shape, dtype)
                by_time = (self.bank.packed if packed else self.bank.calls)(
                    op, shape, dtype, time_major=True
                )
                for name, other in (("packed", packed), ("time-major", by_time)):
                    if other is not None:
                        other.prepare_backward()
                        cases |= {
                            f"{name} forward": other.forward,
                            f"{name} backward": other.backward,
                        }
            if dtype is torch.float32 and shape == MAIN and op.name in peers.PEERS:
                cases |= {
                    f"peer {name}": call for name, call in peers.PEERS[op.name](calls).items()
                }
        times = interleave(cases, self._rounds(shape))
        for dtype in DTYPES:
            self._keep(op, shape, dtype, times)
        for direction in ("forward", "backward"):
            for what, name in ((PACKED, "packed"), (TIME_MAJOR, "time-major")):
                if f"{name} {direction}" in times:
                    self._ratio(
                        what,
                        op,
                        shape,
                        direction,
                        times,
                        f"{name} {direction}",
                        f"float32 {direction}",
                    )
            if f"float32 {direction} streams" in times:
                self._ratio(
                    STREAMS,
                    op,
                    shape,
                    direction,
                    times,
                    f"float32 {direction} streams",
                    f"float32 {direction}",
                )
        if big:
            self._ratio(CALL, op, shape, "forward", times, "float32 call", "float32 forward")
            for direction in ("forward", "backward"):
                self._ratio(
                    "bfloat16 elements/s by float32's",
                    op,
                    shape,
                    direction,
                    times,
                    f"float32 {direction}",
                    f"bfloat16 {direction}",
                )
        for direction in ("forward", "backward"):
            ours = {"forward": "float32 call", "backward": "float32 backward"}
            if f"peer {direction}" in times:
                self._ratio(
                    f"numba time by ours ({peers.NAME})",
                    op,
                    shape,
                    direction,
                    times,
                    f"peer {direction}",
                    ours[direction],
                )
        if "peer forward" in times:
            both = [
                a + b for a, b in zip(times["peer forward"], times["peer backward"], strict=True)
            ]
            times |= {"peer train": both}
            self._ratio(
                f"numba time by ours ({peers.NAME})",
                op,
                shape,
                "train",
                times,
                "peer train",
                "float32 train",
            )

    def _passes(
        self,
        calls: Calls,
        shape: Shape,
        dtype: torch.dtype,
        train: bool,
        threads: int | None = None,
    ) -> dict:
        """The passes of one operator with the copies that go with them."""
        name, threads = _name(dtype), threads or self.threads
        directions = {"forward": calls.forward, "backward": calls.backward}
        cases: dict[str, Callable[[], object]] = {}
        for direction, call in directions.items():
            cases[f"{name} {direction}"] = call
            total = int(
                _elements(shape) * calls.op.bytes_per_element(dtype, direction == "backward")
            )
            for kind, copy in self.copies.candidates(total, threads).items():
                cases[f"{name} {direction} copy {kind}"] = copy
            # Real streams of one type only: complex ones are as many streams of twice the width.
            reads, writes = calls.op.backward if direction == "backward" else calls.op.forward
            move = self.copies.streams(
                reads, writes, _elements(shape) * calls.op.itemsize(dtype), threads
            )
            if train and not calls.op.saved and move is not None:
                cases[f"{name} {direction} streams"] = move
        if train:
            cases[f"{name} train"] = calls.train
        return cases

    def _keep(
        self, op: Op, shape: Shape, dtype: torch.dtype, times: Times, threads: int | None = None
    ) -> None:
        name, elements = _name(dtype), _elements(shape)
        for direction in ("forward", "backward", "train"):
            case = f"{name} {direction}"
            if case not in times:
                continue
            sides = [False, True] if direction == "train" else [direction == "backward"]
            per_element = sum(op.bytes_per_element(dtype, side) for side in sides)
            seconds = median(times[case])
            if direction == "train":  # its copy is both copies, one after the other
                forward, backward = (
                    times[f"{name} {d} copy best"] for d in ("forward", "backward")
                )
                copy, kind = [f + b for f, b in zip(forward, backward, strict=True)], "both"
            else:
                best = best_of(times, [n for n in times if n.startswith(f"{case} copy ")])
                copy, kind = times[best], best.split(" copy ")[1]
            times[f"{case} copy best"] = copy
            total = per_element * elements
            self.rows.append(
                Row(
                    op.name,
                    shape,
                    name,
                    threads or self.threads,
                    direction,
                    seconds,
                    elements / seconds / 1e9,
                    per_element,
                    total / seconds / 1e9,
                    total / median(copy) / 1e9,
                    kind,
                    ratio(times, f"{case} copy best", case),
                )
            )

    def _lone(self, op: Op) -> None:
        """One sequence, one thread and all of them."""
        calls = self.bank.calls(op, LONE, torch.float32)
        calls.prepare_backward()
        cases = self._passes(calls, LONE, torch.float32, train=False)
        for direction, call in (("forward", calls.forward), ("backward", calls.backward)):
            cases[f"one thread {direction}"] = call
            total = int(
                _elements(LONE) * op.bytes_per_element(torch.float32, direction == "backward")
            )
            cases[f"one thread copy {direction}"] = self.copies.copy(
                total, nontemporal=False, threads=1
            )
        enter = {name: 1 if name.startswith("one thread") else self.threads for name in cases}
        with testing.threads(self.threads):
            times = interleave(
                cases, self._rounds(LONE), before=lambda name: torch.set_num_threads(enter[name])
            )
        self._keep(op, LONE, torch.float32, times)
        for direction in ("forward", "backward"):
            self._ratio(
                "one thread's time by all threads'",
                op,
                LONE,
                direction,
                times,
                f"one thread {direction}",
                f"float32 {direction}",
            )
            self._ratio(
                ALONE,
                op,
                LONE,
                direction,
                times,
                f"one thread copy {direction}",
                f"one thread {direction}",
            )

    def _loop(self, op: Op) -> None:
        """One eager step after another, and autograd through them."""
        for T in LOOP_LENGTHS:
            shape = (SWEEP[0], T, SWEEP[1])
            calls = self.bank.calls(op, shape, torch.float32)
            cases = {
                "forward": calls.call,
                "loop forward": calls.loop_forward,
                "train": calls.train,
                "loop train": calls.loop_train,
            }
            times = interleave(cases, 3, budget=0)
            for direction in ("forward", "train"):
                self._ratio(
                    "speed-up over the eager loop",
                    op,
                    shape,
                    direction,
                    times,
                    f"loop {direction}",
                    direction,
                )

    def _ratio(
        self,
        what: str,
        op: Op,
        shape: Shape,
        direction: str,
        times: Times,
        numerator: str,
        denominator: str,
    ) -> None:
        value = ratio(times, numerator, denominator)
        self.ratios.append(
            {"what": what, "op": op.name, "shape": shape, "direction": direction, "ratio": value}
        )

    def _rounds(self, shape: Shape) -> int:
        return self.rounds if _elements(shape) <= _elements(MAIN) else max(3, self.rounds - 2)


def _elements(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
