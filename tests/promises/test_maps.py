"""The map of a sequence, which ranks that share it exchange: of any shape, and cut in pieces."""

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.backends import maps, operators
from lrnn_kernels.cells import CELLS, KERNELS
from tests.conftest import CHANNELS, FEATURES, over
from tests.maps import MAPPED, check_map

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("T", [0, 1, 33, 65])
@over(("cell", "options", "dtype"), MAPPED)
def test_maps(cell, options, dtype, T, backend):
    number = MAPPED.index((cell, options, dtype)) + T
    h0, reset, h_reset, reverse, per_batch = FEATURES[number % len(FEATURES)]
    states = {"h0": h0, "reset": reset, "h_reset": h_reset, "per_batch": per_batch}
    packed = number % 3 == 0 and len(CELLS[cell].inputs) > 1
    C = CHANNELS[number % len(CHANNELS)]
    call = testing.random_call(
        cell, 3, T, C, dtype=dtype, options=options, reverse=reverse, packed=packed, **states
    )
    check_map(call, backend)


@pytest.mark.parametrize("reverse", [False, True])
@over("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_halves_of_complex_numbers(dtype, reverse, backend):
    for C in (1, 5, 33):
        call = testing.random_call(
            "lru", 2, 40, C, dtype=dtype, split=True, reset=True, reverse=reverse
        )
        check_map(call, backend)


@pytest.mark.parametrize("T", [20_000, 300_000])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", ["min_gru", "lru", "bmru"])
def test_pieces_of_time_are_composed(cell, reverse, T):
    """Long sequences of few channels: shared out over threads, and cut where Ctrl-C may come."""
    C = 1 if T > 100_000 else 9
    dtype = torch.complex64 if cell == "lru" else torch.float32
    call = testing.random_call(cell, 1, T, C, dtype=dtype, h0=False, reset=True, reverse=reverse)
    kernel = call.kernel.generic or call.kernel
    operator = getattr(torch.ops.lrnn_kernels, kernel.name + operators.MAP)
    numbers = call.entry.numbers(call.options)

    # A reset late in the scan, so that the pieces before it do not count but for their order.
    late = torch.zeros(1, T, dtype=torch.bool)
    late[0, T // 3 if reverse else 2 * T // 3] = True
    for reset in (late, None):
        start = torch.randn_like(call.dh_last)
        kwargs = {"reset": reset, "h_reset": None if reset is None else call.h_reset}
        _, h_last = CELLS[cell].function(
            *call.inputs, *call.params, h0=start, reverse=reverse, **kwargs
        )
        with testing.threads(max(torch.get_num_threads(), 3)):
            scale, offset = operator(
                list(call.inputs),
                list(call.params),
                numbers,
                reset,
                kwargs["h_reset"],
                reverse,
                False,
                None,
            )
        torch.testing.assert_close(maps.applied(scale, offset, start), h_last)


def test_what_has_no_map_has_no_operator():
    assert set(operators.mapped()) == {
        name for name, kernel in KERNELS.items() if kernel.engine == "affine"
    }


def test_composition_keeps_what_selects():
    """A scale of 0 drops an infinity, and a carry of 0 an infinite scale."""
    inf = float("inf")
    scale, offset = torch.tensor([[inf], [0.0], [2.0]]), torch.tensor([[1.0], [3.0], [1.0]])
    assert maps.total(scale, offset) == (torch.tensor([0.0]), torch.tensor([7.0]))
    assert maps.applied(scale[0], offset[0], torch.zeros(1)) == 1
