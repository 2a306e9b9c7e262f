"""The nBRC beside its matrix products alone: what its elementwise part and its loop over time
cost."""

from __future__ import annotations

import torch

from ..measure.timing import interleave, ratio

SHAPES = ((1, 256, 256), (32, 128, 256), (128, 64, 256))  # B, T, C
WHAT = "nbrc's time by that of its products"


def measure(rounds: int) -> list[dict]:
    """One row per shape and direction: forward while saving, and backward, by torch.mm on the whole
    batch, step by step.

    The weights' gradient is one product over all steps here; the operator takes it in pieces of a
    bounded size.
    """
    op, backward_op = (
        torch.ops.lrnn_kernels.nbrc.default,
        torch.ops.lrnn_kernels.nbrc_backward.default,
    )
    rows = []
    for B, T, C in SHAPES:
        packed = torch.randn(B, T, 3 * C)
        weights = [torch.randn(C, C) / (2 * C**0.5) for _ in range(2)]
        call = ([packed], weights, [0.0], None, None, None, False)
        y, _, saved = op(*call, True)
        dy = torch.randn_like(y)
        stacked, h, dgates = torch.cat(weights), torch.randn(B, C), torch.randn(B, 2 * C)
        to_gates, gates, dh = stacked.t(), torch.empty(B, 2 * C), torch.empty(B, C)
        all_h, all_dgates = torch.randn(B * T, C), torch.randn(B * T, 2 * C)

        def products_forward(h=h, to_gates=to_gates, gates=gates, T=T):
            for _ in range(T):
                torch.mm(h, to_gates, out=gates)

        def products_backward(
            dgates=dgates, stacked=stacked, dh=dh, T=T, all_h=all_h, all_dgates=all_dgates
        ):
            for _ in range(T):
                torch.mm(dgates, stacked, out=dh)
            torch.mm(all_dgates.t(), all_h)

        cases = {
            "forward": lambda call=call: op(*call, True),
            "forward products": products_forward,
            "backward": lambda call=call, saved=saved, dy=dy: backward_op(*call, saved, dy, None),
            "backward products": products_backward,
        }
        with torch.no_grad():
            times = interleave(cases, rounds)
        for direction in ("forward", "backward"):
            value = ratio(times, direction, f"{direction} products")
            rows.append(
                {
                    "what": WHAT,
                    "op": "nbrc",
                    "shape": (B, T, C),
                    "direction": direction,
                    "ratio": value,
                }
            )
    return rows
