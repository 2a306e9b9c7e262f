"""One step of every layer, as a policy acts: its time beside torch.nn.GRUCell's, interleaved, on
one thread, without gradients."""

from __future__ import annotations

from statistics import median

import torch

from lrnn_kernels import nn

from ..measure.machine import cpu_model
from ..measure.report import table
from ..measure.timing import interleave, ratio

SHAPES = ((1, 32), (128, 32))
PEER = "torch.nn.GRUCell"


def main(rounds: int = 200) -> None:
    torch.set_num_threads(1)
    print(f"{cpu_model()}, 1 thread; microseconds, and the time by that of {PEER}")
    for B, H in SHAPES:
        with torch.inference_mode():
            cases = _cases(B, H)
            times = interleave(cases, rounds, budget=20.0)
        rows = [
            (name, f"{median(times[name]) * 1e6:.1f}", f"{ratio(times, name, PEER):.2f}")
            for name in cases
        ]
        print(table(("layer", "us", "ratio"), rows, f"\nB = {B}, H = {H}"))


def _cases(B: int, H: int) -> dict:
    x, h = torch.randn(B, H), torch.randn(B, H)
    cell = torch.nn.GRUCell(H, H)
    cases = {PEER: lambda: cell(x, h)}
    for name in nn.__all__:
        layer = getattr(nn, name)
        if name != "Recurrent" and isinstance(layer, type) and issubclass(layer, nn.Recurrent):
            one = layer(H, H)
            _, state = one.step(x)
            cases[f"nn.{name}"] = lambda one=one, state=state: one.step(x, state)
    return cases
