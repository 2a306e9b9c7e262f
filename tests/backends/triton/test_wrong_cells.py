"""The test of the tests of this room."""

import pytest

from lrnn_kernels import testing
from lrnn_kernels.backends import choose
from tests.backends.triton.cases import check

pytestmark = pytest.mark.usefixtures("where", "poisoned")

#: What is wrong: the cell, which of its functions, and the wrong one in wrong_cells.py.
WRONG = {
    "sign of dk": ("min_gru", "pullback", "sign"),
    "da without the state": ("linear_scan", "pullback", "no_state"),
    "a thousandth of dalpha": ("bmru", "pullback", "share"),
    "the sign of the state": ("bmru", "pullback", "forgotten_write"),
    "a ten-thousandth in the gate": ("linear_scan", "gate", "gate"),
    "the adjoint without the way through c": ("brc", "pullback", "forgotten_gate"),
    "a thousandth of the adjoint of the current": ("src", "pullback", "wrong_current"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_cell_is_caught(wrong, monkeypatch):
    """A cell with one mistake in it fails the very check that the true one passes."""
    from lrnn_kernels.triton_kernels.launch import CELLS

    from tests.backends.triton import wrong_cells

    cell, field, name = WRONG[wrong]
    call = testing.random_call(cell, 2, 9, 5)
    check(call)
    kernel = choose.kernel_on("triton", call.kernel).name
    wrong_cell = CELLS[kernel]._replace(**{field: getattr(wrong_cells, name)})
    monkeypatch.setitem(CELLS, kernel, wrong_cell)
    with pytest.raises(AssertionError, match="y" if field == "gate" else "d_"):
        check(call)


def test_every_wrong_function_is_used():
    from triton import JITFunction
    from triton.runtime.interpreter import InterpretedFunction

    from tests.backends.triton import wrong_cells

    kinds = (JITFunction, InterpretedFunction)
    defined = {name for name, x in vars(wrong_cells).items() if isinstance(x, kinds)}
    assert defined == {name for _, _, name in WRONG.values()}
