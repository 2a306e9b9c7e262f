"""Time on a GPU: graphs of several calls, so that no time on the processor is in them; copies are
captured and interleaved with what they stand beside in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

import torch

from ..measure import inputs
from ..measure.results import Shape
from ..measure.timing import Times
from ..measure.traffic import Calls, Op

SECONDS = 2e-3  # of work in one captured graph, at least
MOST = 50  # calls in it, at most
#: In which a GPU's clocks rise from where they rest; what it takes where it has worked; and how
#: long it rests before they fall.
WARM_SECONDS, STILL_WARM_SECONDS, REST_SECONDS = 0.3, 0.02, 1.0


class GraphClock:
    """Times calls on the GPU, captured in graphs."""

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        """A function that runs the call and gives its seconds."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())  # which fills the inputs
        with torch.cuda.stream(stream):
            call()  # compiles, and finds its workspaces
            torch.cuda.synchronize()
            repeats = _repeats(call)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                call()
        return _between_events(graph.replay, repeats)


class EventClock:
    """Times calls by events around them: for what cannot be captured, and takes far longer than a
    launch."""

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        call()
        torch.cuda.synchronize()
        repeats = _repeats(call)

        def several() -> None:
            for _ in range(repeats):
                call()

        return _between_events(several, repeats)


class WaitClock:
    """Times calls by the host's clock, the wait for what they computed included: for what runs on
    streams that torch does not know."""

    def __init__(self, wait: Callable[[object], object]) -> None:
        self._wait = wait  # for the result of a call

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        self._wait(call())
        start = time.perf_counter()
        self._wait(call())
        repeats = max(1, min(MOST, int(10 * SECONDS / (time.perf_counter() - start))))

        def timed() -> float:
            start = time.perf_counter()
            for _ in range(repeats):
                result = call()
            self._wait(result)
            return (time.perf_counter() - start) / repeats

        return timed


class HostClock:
    """Times calls by the host's clock, where there is no GPU."""

    def prepare(self, call: Callable[[], object]) -> Callable[[], float]:
        def timed() -> float:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start

        return timed


def _repeats(call: Callable[[], object]) -> int:
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return max(1, min(MOST, int(SECONDS / (time.perf_counter() - start))))


def _between_events(run: Callable[[], object], repeats: int) -> Callable[[], float]:
    def timed() -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e-3 / repeats

    return timed


def warm_up(seconds: float) -> None:
    """Keeps the GPU busy for so long."""
    call, stop = copy_of(1 << 28, "cuda"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for _ in range(20):
            call()
        torch.cuda.synchronize()


def interleave(timed: dict[Hashable, Callable[[], float]], rounds: int) -> Times:
    """Seconds of every case, round after round, after one that does not count: a graph's first
    replay uploads it."""
    for once in timed.values():
        once()
    times: Times = {name: [] for name in timed}
    for _ in range(rounds):
        for name, once in timed.items():
            times[name].append(once())
    return times


def copy_of(total: float, device: str) -> Callable[[], object]:
    """A copy that reads and writes so many bytes in all."""
    source, target = (
        torch.randint(256, (max(1, int(total) // 2),), dtype=torch.uint8, device=device)
        for _ in range(2)
    )
    return lambda: target.copy_(source)


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
