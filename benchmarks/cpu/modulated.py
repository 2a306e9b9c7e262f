"""A training step of nn.ModulatedLinear beside the same layer in plain operations, eager and
compiled by torch.compile, interleaved on one thread; and the bound of any fused epilogue."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from lrnn_kernels import nn, testing
from lrnn_kernels.nn import modulated

from ..measure.machine import cpu_model
from ..measure.report import table

SHAPE = (100_000, 64, 32, 20)  # rows, in, out, k
HEADER = ("what", "ms of CPU", "by ours")
#: What a fused epilogue cannot do without: u, gain, offset and y forward; dy, y, u, gain, du,
#: d gain and e backward.
STREAMS = 11


def main(rounds: int = 15) -> None:
    with testing.threads(1):
        found = measure(*SHAPE, rounds)
    copy, products = (median(found.pop(name)) for name in ("copy", "products"))
    ours = found["nn.ModulatedLinear"]
    rows = []
    for name, times in found.items():
        by_ours = median(a / b for a, b in zip(times, ours, strict=True))
        rows.append((name, f"{median(times) * 1e3:.1f}", f"{by_ours:.2f}"))
    bound = products + STREAMS / 2 * copy
    rows.append(("its products alone", f"{products * 1e3:.1f}", f"{products / median(ours):.2f}"))
    rows.append(("and an epilogue at a copy's speed", f"{bound * 1e3:.1f}", ""))
    print(f"{cpu_model()}, 1 thread, float32, rows, in, out, k = {SHAPE}; medians of {rounds}")
    print(table(HEADER, rows))


def measure(rows: int, inputs: int, outputs: int, k: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU of every case, a round an entry: the clock of the one thread does not count
    what else the machine does."""
    layer = nn.ModulatedLinear(inputs, outputs, k)
    x, z = torch.randn(rows, inputs, requires_grad=True), torch.rand(rows, k, requires_grad=True)
    dy = torch.randn(rows, outputs)
    leaves = [x, z, *layer.parameters()]

    def plain(x: Tensor, z: Tensor) -> Tensor:
        return modulated.plain(
            x.unsqueeze(1), z, layer.weight, layer.weight_s, layer.bias, layer.weight_b, 1, "srelu"
        ).squeeze(1)

    def training(call: Callable) -> Callable[[], object]:
        return lambda: torch.autograd.grad(call(x, z), leaves, dy)

    source, target = torch.randn(rows, outputs), torch.empty(rows, outputs)
    cases = {
        "nn.ModulatedLinear": training(layer),
        "plain operations": training(plain),
        "torch.compile of these": training(torch.compile(plain, fullgraph=True)),
        "products": _products(layer, x.detach(), z.detach()),
        "copy": lambda: target.copy_(source),
    }
    expected = cases["plain operations"]()
    for name in ("nn.ModulatedLinear", "torch.compile of these"):
        for got, right in zip(cases[name](), expected, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-4 * right.abs().max().item())
    times = {name: [] for name in cases}
    order, shuffle = list(cases), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            start = time.thread_time()
            cases[name]()
            times[name].append(time.thread_time() - start)
    return times


def _products(layer: nn.ModulatedLinear, x: Tensor, z: Tensor) -> Callable[[], object]:
    """The products of a training step, forward and backward, into the same buffers every time."""
    W, W_s = layer.weight.detach(), layer.weight_s.detach()
    u = x @ W.t()
    dx, dz, dW, dW_s = (torch.empty_like(t) for t in (x, z, W, W_s))

    def run() -> None:
        torch.mm(x, W.t(), out=u)
        for _ in range(2):  # of the gain, and of the offset
            torch.mm(z, W_s.t(), out=u)
            torch.mm(u, W_s, out=dz)
            torch.mm(u.t(), z, out=dW_s)
        torch.mm(u, W, out=dx)
        torch.mm(u.t(), x, out=dW)

    return run
