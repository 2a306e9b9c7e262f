"""What tests of every backend ask of the operators NAME_map: that they are what a sequence as a
whole does to the state before it and, backward, to the adjoint of the state after it."""

import torch

from lrnn_kernels import testing
from lrnn_kernels.backends import choose, maps
from lrnn_kernels.backends.operators import MAP
from lrnn_kernels.calls.linear import to_complex, to_split
from lrnn_kernels.cells import CELLS
from tests.conftest import GRID

#: Every cell that has maps, with its options and types.
MAPPED = [case for case in GRID if not CELLS[case[0]].sequential]


def check_map(call: testing.Call, backend: str) -> None:
    """Asserts that both maps of a call give the last state and the gradient of h0 that the float64
    reference has."""
    call = call.to(testing.device_of(backend))
    split = call.params and call.params[0].is_complex() and not call.dtype.is_complex
    kernel = call.kernel.generic or call.kernel
    namespace = getattr(torch.ops, choose.BACKENDS[backend].NAMESPACE)
    operator = getattr(namespace, kernel.name + MAP)
    numbers = call.entry.numbers(call.options)

    def through(carry, **given):
        found = operator(
            list(call.inputs), list(call.params), numbers, call.reset, **given, reverse=call.reverse
        )
        assert all(x.shape == carry.shape and x.dtype == carry.dtype for x in found)
        values = [to_complex(x) if split else x for x in (*found, carry)]
        out = maps.applied(*values)
        return to_split(out) if split else out

    h0 = torch.zeros_like(call.dh_last) if call.h0 is None else call.h0
    h_last = through(h0, h_reset=call.h_reset, backward=False, dy=None)
    d_h0 = through(call.dh_last, h_reset=None, backward=True, dy=call.dy)
    expected = testing.run(call.to("cpu").double(), "reference")
    for name, got in {"h_last": h_last, "d_h0": d_h0}.items():
        if name in expected:
            error = testing.relative_error(got, expected[name])
            assert error <= testing.tolerance(name, call), (name, error)
