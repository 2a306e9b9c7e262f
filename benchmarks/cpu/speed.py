"""Throughput of every operator against sequence length, beside a copy of the same bytes,
hand-written peers and the eager loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from tqdm import tqdm

from lrnn_kernels import testing

from ..measure.copy_bandwidth import CopyBandwidth
from ..measure.results import Key, Results, Row, Shape
from ..measure.timing import Times, best_of, interleave, pieces, ratio
from ..measure.traffic import OPS, Calls, Op
from . import peers, products
from .bank import Bank

SWEEP = (8, 256)  # B, C
MAIN: Shape = (8, 4096, 256)
PIXELS: Shape = (32, 784, 256)  # sequential MNIST, batched
LONE: Shape = (1, 65536, 16)  # one long, narrow sequence: threads could share its time only
DTYPES = (torch.float32, torch.bfloat16)
LOOP_LENGTHS = (64, 256)
PASSES = ("forward", "backward")

Cases = dict[Key, Callable[[], object]]


class Speed:
    """Measures, and keeps what was found in ``results``."""

    def __init__(self, quick: bool):
        self.lengths = [64, 256, 1024, 4096] if quick else [64, 256, 1024, 4096, 16384]
        self.rounds = 3 if quick else 7
        self.threads = torch.get_num_threads()
        self.results = Results()
        largest = max(
            _elements(shape) for shape in [(SWEEP[0], max(self.lengths), SWEEP[1]), PIXELS, LONE]
        )
        streams = max(len(op.row.inputs) for op in OPS.values())
        self.bank = Bank(max(2 * largest, streams * max(_elements(MAIN), _elements(PIXELS))))
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
        with tqdm(total=len(jobs) * len(OPS), desc="speed", leave=False, disable=None) as bar:
            for name, job in jobs:
                for op in OPS.values():
                    bar.set_postfix_str(f"{op.name} {name}")
                    job(op)
                    bar.update()
        self.results.ratios |= products.measure(self.rounds, self.threads)

    def as_json(self) -> dict:
        return {"copy": self.copies.how, "pieces": dict(pieces), **self.results.as_json()}

    # What is compared is always one call of interleave: both dtypes, both directions, their copies
    # and their peers.

    def _shape(self, op: Op, shape: Shape) -> None:
        big = shape in (MAIN, PIXELS)
        cases: Cases = {}
        for dtype in DTYPES:
            calls = self.bank.calls(op, shape, dtype)
            calls.prepare_backward()
            cases |= self._passes(calls, shape, dtype, train=big)
            if big and dtype is torch.float32:
                cases |= self._other_ways(calls, shape)
        times = interleave(cases, self._rounds(shape))
        for dtype in DTYPES:
            self._keep(op, shape, dtype, times)
        for direction in PASSES:
            single = self._key(op, shape, torch.float32, direction)
            for case in ("packed", "time_major", "streams"):
                self._ratio(times, replace(single, case=case), case="operator")
            if big:
                self._ratio(times, single, dtype=_name(torch.bfloat16))
        forward = self._key(op, shape, torch.float32, "forward", "call")
        self._ratio(times, forward, case="operator")
        self._peers(times, op, shape)

    def _peers(self, times: Times, op: Op, shape: Shape) -> None:
        """Peers beside what a user calls: the public function, and backward the operator, without
        autograd; trained, both of the peer's passes."""
        passes = [self._key(op, shape, torch.float32, d, peers.CASE) for d in PASSES]
        if passes[0] not in times:
            return
        both = replace(passes[0], direction="train")
        times[both] = [a + b for a, b in zip(*(times[key] for key in passes), strict=True)]
        for key, case in ((passes[0], "call"), (passes[1], "operator"), (both, "call")):
            self._ratio(times, key, case=case)

    def _passes(
        self,
        calls: Calls,
        shape: Shape,
        dtype: torch.dtype,
        train: bool,
    ) -> Cases:
        """The passes of one operator with the copies that go with them."""
        op, threads = calls.op, self.threads
        cases: Cases = {}
        for direction in PASSES:
            key = self._key(op, shape, dtype, direction)
            cases[key] = getattr(calls, direction)
            total = int(key.elements * op.bytes_per_element(dtype, direction == "backward"))
            for (case, count), copy in self.copies.candidates(total, threads).items():
                cases[replace(key, case=case, threads=count)] = copy
            # Real streams of one type only: complex ones are as many streams of twice the width.
            reads, writes = op.backward if direction == "backward" else op.forward
            move = self.copies.streams(reads, writes, key.elements * op.itemsize(dtype), threads)
            if train and not op.saved and move is not None:
                cases[replace(key, case="streams")] = move
        if train:
            cases[self._key(op, shape, dtype, "train", "call")] = calls.train
        return cases

    def _other_ways(self, calls: Calls, shape: Shape) -> Cases:
        """The public function, other orders in memory, and a peer, in float32."""
        op, dtype = calls.op, torch.float32
        cases = {self._key(op, shape, dtype, "forward", "call"): calls.call}
        packed = self.bank.packed(op, shape, dtype)
        by_time = (self.bank.packed if packed else self.bank.calls)(
            op, shape, dtype, time_major=True
        )
        for case, other in (("packed", packed), ("time_major", by_time)):
            if other is not None:
                other.prepare_backward()
                for direction in PASSES:
                    key = self._key(op, shape, dtype, direction, case)
                    cases[key] = getattr(other, direction)
        if shape == MAIN and op.name in peers.PEERS:
            for direction, call in peers.PEERS[op.name](calls).items():
                cases[self._key(op, shape, dtype, direction, peers.CASE)] = call
        return cases

    def _keep(self, op: Op, shape: Shape, dtype: torch.dtype, times: Times) -> None:
        """Makes rows of the passes among what was timed."""
        best: dict[str, list[float]] = {}  # the fastest copy's times by direction
        for direction in PASSES:
            key = self._key(op, shape, dtype, direction)
            copies = self._copies(times, key)
            fastest = best_of(times, copies)
            best[direction] = times[fastest]
            self._row(op, dtype, key, times[key], best[direction], _copy_kind(fastest))
        key = self._key(op, shape, dtype, "train", "call")
        if key in times:  # its copy is both copies, one after the other
            both = [a + b for a, b in zip(best["forward"], best["backward"], strict=True)]
            self._row(op, dtype, key, times[key], both, "both")

    @staticmethod
    def _copies(times: Times, key: Key) -> list[Key]:
        """The copies that were timed for a pass, on any number of threads."""
        return [
            other
            for other in times
            if other.case.endswith("copy")
            and replace(other, case=key.case, threads=key.threads) == key
        ]

    def _row(
        self,
        op: Op,
        dtype: torch.dtype,
        key: Key,
        times: list[float],
        copy: list[float],
        copy_kind: str,
    ) -> None:
        sides = (False, True) if key.direction == "train" else (key.direction == "backward",)
        per_element = sum(op.bytes_per_element(dtype, side) for side in sides)
        seconds, total = median(times), per_element * key.elements
        share = median(a / b for a, b in zip(copy, times, strict=True))
        rates = key.elements / seconds / 1e9, per_element, total / seconds / 1e9
        self.results.add(Row(key, seconds, *rates, total / median(copy) / 1e9, copy_kind, share))

    def _lone(self, op: Op) -> None:
        """One sequence, one thread and all of them."""
        calls = self.bank.calls(op, LONE, torch.float32)
        calls.prepare_backward()
        cases = self._passes(calls, LONE, torch.float32, train=False)
        copies = {}
        for direction in PASSES:
            alone = self._key(op, LONE, torch.float32, direction, threads=1)
            cases[alone] = getattr(calls, direction)
            total = int(
                alone.elements * op.bytes_per_element(torch.float32, direction == "backward")
            )
            (case, _), copy = next(iter(self.copies.candidates(total, 1).items()))
            copies[direction] = replace(alone, case=case)
            cases[copies[direction]] = copy
        with testing.threads(self.threads):
            times = interleave(
                cases, self._rounds(LONE), before=lambda key: torch.set_num_threads(key.threads)
            )
        self._keep(op, LONE, torch.float32, times)
        for direction in PASSES:
            alone = self._key(op, LONE, torch.float32, direction, threads=1)
            self._ratio(times, alone, threads=self.threads)
            self._ratio(times, copies[direction], case="operator")

    def _loop(self, op: Op) -> None:
        """One eager step after another, and autograd through them."""
        for T in LOOP_LENGTHS:
            shape = (SWEEP[0], T, SWEEP[1])
            calls = self.bank.calls(op, shape, torch.float32)
            cases = {
                self._key(op, shape, torch.float32, direction, case): call
                for direction, case, call in (
                    ("forward", "call", calls.call),
                    ("forward", "loop", calls.loop_forward),
                    ("train", "call", calls.train),
                    ("train", "loop", calls.loop_train),
                )
            }
            times = interleave(cases, 3, budget=0)
            for direction in ("forward", "train"):
                key = self._key(op, shape, torch.float32, direction, "loop")
                self._ratio(times, key, case="call")

    def _ratio(self, times: Times, of: Key, **by: object) -> None:
        """Keeps the ratio of two times, where both are there."""
        other = replace(of, **by)
        if of in times and other in times:
            self.results.ratios[of, other] = ratio(times, of, other)

    def _key(
        self,
        op: Op,
        shape: Shape,
        dtype: torch.dtype,
        direction: str,
        case: str = "operator",
        threads: int | None = None,
    ) -> Key:
        return Key(op.name, shape, _name(dtype), direction, case, threads=threads or self.threads)

    def _rounds(self, shape: Shape) -> int:
        return self.rounds if _elements(shape) <= _elements(MAIN) else max(3, self.rounds - 2)


def _copy_kind(key: Key) -> str:
    return f"{key.case.removesuffix(' copy')} x{key.threads}"


def _elements(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
