"""What model.py predicts, as tables: ``python -m benchmarks gpu model``."""

from __future__ import annotations

import torch

from ..measure import report
from ..measure.traffic import OPS
from . import model

SHAPES = ((8, 4096, 256), (32, 784, 256), (64, 4096, 256), (1, 65536, 64), (1, 65536, 256))
MATRIX_SHAPES = (
    (8, 784, 64),
    (8, 784, 128),
    (8, 784, 256),
    (33, 784, 256),
    (64, 784, 256),
    (132, 784, 256),
    (528, 784, 256),
)


def main() -> int:
    print(model.__doc__.split("\n\n", 1)[1])
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            rows = []
            for op in OPS.values():
                found = [model.predict(op, shape, dtype, backward) for backward in (False, True)]
                rows.append(
                    [
                        op.name,
                        *(
                            text
                            for p in found
                            for text in (f"{p.seconds * 1e3:.3f}", f"{p.share:.2f}", p.bound)
                        ),
                    ]
                )
            title = (
                f"{list(shape)}, {str(dtype).removeprefix('torch.')}: ms, share of the copy, "
                "bound by"
            )
            print(
                report.table(
                    ["operator", "forward", "share", "by", "backward", "share", "by"], rows, title
                )
            )
    rows = []
    for name in model.MATRIX_KERNELS:
        for shape in MATRIX_SHAPES:
            layout, seconds = model.predict_matrix(name, shape)
            lies = f"{layout.groups} x {layout.blocks} blocks, {layout.elements} at a time"
            times = f"{seconds * 1e3:.2f}", f"{seconds / shape[1] * 1e6:.2f}"
            rows.append([name, str(list(shape)), lies, *times])
    columns = ["operator", "float32", "groups", "ms, either way", "us a step"]
    print(report.table(columns, rows, "cells with matrices"))
    return 0
