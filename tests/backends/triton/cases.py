"""What the tests of the Triton kernels share: the cells that they serve, and a check that is small
enough for Triton's interpreter, which takes about 10 ms a step.

The interpreter truncates where hardware rounds to bfloat16: such values may be off by twice as much
there.
"""

from __future__ import annotations

import torch

from lrnn_kernels import testing
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.cells import CELLS
from tests.conftest import FEATURES, GRID, VARIANTS

DEVICE = testing.device_of("triton")
#: All but matrix cells: a matrix product a step is a library's work.
SERVED = [(cell, options) for cell, options in VARIANTS if not CELLS[cell].matrices]
CELLS_HERE = list(dict.fromkeys(cell for cell, _ in SERVED))
AFFINE = [(cell, options) for cell, options in SERVED if not CELLS[cell].sequential]
TYPES = [(cell, options, dtype) for cell, options, dtype in GRID if (cell, options) in SERVED]
#: The option sets of a step cell differ in a formula: one for each way of saving takes every
#: feature, the others one each.
STEPS = list(
    {
        (cell, options.get("memory")): (cell, options)
        for cell, options in reversed(SERVED)
        if CELLS[cell].sequential
    }.values()
)
FEW = [*AFFINE, *STEPS]


def with_features(number: int) -> dict:
    return dict(
        zip(
            ("h0", "reset", "h_reset", "reverse", "per_batch"),
            FEATURES[number % len(FEATURES)],
            strict=True,
        )
    )


def narrowest(cell: str) -> torch.dtype:
    """float32, or its complex form."""
    return torch.float32 if torch.float32 in CELLS[cell].dtypes else torch.complex64


#: A cell of each engine and kind of number.
ENGINES = {
    (CELLS[cell].kernel(CELLS[cell].options, True).engine, narrowest(cell).is_complex): cell
    for cell in reversed(CELLS_HERE)
}


def _allowed(error: testing.Error, call: testing.Call) -> float:
    return error.allowed * (
        2 if call.dtype == torch.bfloat16 and triton_backend.interpreted() else 1
    )


def check(call: testing.Call) -> None:
    """Values and all gradients are those of the float64 reference, and of the CPU kernels."""
    call = call.to(DEVICE)
    got = testing.run(call, "triton")
    expected = testing.run(call.to("cpu").double(), "reference")
    for error in testing.compare(call, got, expected):
        assert error.error <= _allowed(error, call), error
    for error in testing.compare(call, got, testing.run(call.to("cpu"), "cpu")):
        assert error.error <= _allowed(error, call) + error.allowed, error
