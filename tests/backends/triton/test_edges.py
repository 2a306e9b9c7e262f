"""Infinity, NaN and other numbers at the edge in the Triton kernels, as in
promises/test_edge_values.py.

No bfloat16: the interpreter truncates to it. Fewer cases, one tile wide, since it takes 10 ms a
step.
"""

import pytest
import torch

import lrnn_kernels
from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.backends.triton.cases import DEVICE
from tests.conftest import over
from tests.promises import edge_cases

pytestmark = pytest.mark.usefixtures("where")

VARIANTS = edge_cases.variants()
DTYPES = (torch.float32, torch.float64, torch.float16, torch.complex64)


def _run(call: testing.Call) -> dict[str, torch.Tensor]:
    return {name: x.cpu() for name, x in testing.run(call.to(DEVICE), "triton").items()}


@over(("cell", "options"), VARIANTS)
def test_numbers_at_the_edge(cell, options):
    """One of the cell's types each; half of the variants with resets."""
    number = VARIANTS.index((cell, options))
    dtypes = [dtype for dtype in CELLS[cell].dtypes if dtype in DTYPES]
    features = {"reset": number % 2 == 0, "reverse": number % 3 == 0}
    case = edge_cases.planted(cell, options, dtypes[number % len(dtypes)], "some", **features)
    found = edge_cases.differences(case, _run, twice=False)
    assert not found, "\n".join(found)


@over("dtype", [torch.float32, torch.float64])
def test_a_masked_gate_is_shut(dtype):
    """A gate of -inf is exactly 0: the state holds to the bit, and so do gradients."""
    h0 = torch.randn(1, 5, dtype=dtype, device=DEVICE, requires_grad=True)
    k = torch.full((1, 6, 5), -torch.inf, dtype=dtype, device=DEVICE, requires_grad=True)
    v = torch.randn_like(k)
    for h, gate in (
        (lrnn_kernels.min_gru(k, v, h0=h0, backend="triton")[1], k),
        (
            lrnn_kernels.brc(
                v, -k, v, *torch.ones(2, 5, dtype=dtype, device=DEVICE), h0=h0, backend="triton"
            )[1],
            k,
        ),
    ):
        assert torch.equal(h, h0)
        dgate, dh0 = torch.autograd.grad(h.sum(), [gate, h0])
        assert not dgate.any()
        assert torch.equal(dh0, torch.ones_like(h0))
