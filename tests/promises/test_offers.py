"""What errors and documents offer works, and what is refused is refused by its own name: whatever
the argument, whether or not a call of its kind was right before, with gradients and without."""

import inspect
import re
import warnings
from contextlib import nullcontext

import pytest
import torch

import lrnn_kernels as lrnn
from lrnn_kernels import testing
from lrnn_kernels.calls.run import _layouts
from lrnn_kernels.cells import CELLS
from tests.conftest import over

B, T, C = 2, 5, 4
EVERY = sorted(CELLS)
#: No argument of any operator.
NOTHING = (object(), [], {}, b"", "no such thing", 1.5j)


def given(cell: str, *, per_batch: bool = False) -> dict:
    """The arguments of a right call of a public function, states and resets among them."""
    row = CELLS[cell]
    call = testing.random_call(
        cell, B, T, C, dtype=row.dtypes[0], reset=True, per_batch=per_batch, seed=1
    )
    found = call.tensors() | testing.accepted(cell, {}) | {"reset": call.reset}
    if len(row.states) > 1:
        found["state"] = found.pop("h0").chunk(len(row.states), -1)
        found["h_reset"] = found["h_reset"].chunk(len(row.states), -1)
    return found


def ways(cell: str, right: dict):
    """A call of the public function, with and without gradients, before and after one that was
    right; and what explains it."""
    function = CELLS[cell].function
    for grad in (True, False):
        with nullcontext() if grad else torch.no_grad():
            yield function
            function(**right)
            yield function
    yield lambda **kwargs: lrnn.explain(function.__name__, **kwargs)


@over("cell", EVERY)
def test_every_shape_that_an_error_offers_is_taken(cell):
    row, right = CELLS[cell], given(cell)
    for name in (*row.params, *row.inputs[1:]):
        stream = right[name].dim() == 3
        wrong = {**right, name: right[name].new_ones((B, T, C + 1) if stream else C + 1)}
        with pytest.raises(ValueError, match=f"^{name} must have ") as raised:
            row.function(**wrong)
        offered, _ = str(raised.value).split(", got ")
        shapes = [eval(shape) for shape in re.findall(r"\(\d[\d, ]*\)", offered)]
        assert shapes
        for shape in shapes:
            y, _ = row.function(**{**right, name: right[name].new_full(shape, 0.5)})
            assert y.shape == (B, T, C)


@over("cell", [name for name in EVERY if CELLS[name].params and not CELLS[name].matrices])
def test_a_parameter_per_sequence_is_that_of_each(cell):
    row, right = CELLS[cell], given(cell, per_batch=True)
    assert all(right[name].shape == (B, C) for name in row.params)
    y, _ = row.function(**right)
    for b in range(B):
        one = {
            name: x if not isinstance(x, torch.Tensor | tuple) else _of(b, x, name in row.params)
            for name, x in right.items()
        }
        torch.testing.assert_close(y[b : b + 1], row.function(**one)[0])


def _of(b: int, x, shared: bool):
    if isinstance(x, tuple):
        return tuple(_of(b, part, shared) for part in x)
    return x if x.shape[0] != B else x[b] if shared else x[b : b + 1]


def test_documents_and_functions_agree_on_the_name_of_states():
    for row in CELLS.values():
        several = len(row.states) > 1
        assert ("h0" in inspect.signature(row.function).parameters) != several
        assert ("state" in inspect.signature(row.function).parameters) == several
        for function in (row.function, row.streaming) if several else ():
            said = f"^{function.__name__} takes no argument '(h0|h)': its states are state"
            for name in ("h0", "h"):
                with pytest.raises(TypeError, match=said):
                    function(**_positional(function), **{name: torch.zeros(1)})


def _positional(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: None for p in parameters if p.default is p.empty and p.kind < p.KEYWORD_ONLY}


@over("cell", EVERY)
def test_every_option_of_a_wrong_type_is_named(cell):
    row, right = CELLS[cell], given(cell)
    options = [
        p.name
        for p in inspect.signature(row.function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    ]
    assert {"reverse", "backend", "reset", "h_reset"} <= set(options)
    for call in ways(cell, right):
        for name in options:
            for wrong in NOTHING:
                with pytest.raises((TypeError, ValueError), match=rf"^{name}\b"):
                    call(**{**right, name: wrong})
        for wrong in (None, 0, 1, 0.5):
            with pytest.raises(
                TypeError, match=r"^reverse must be a bool, got (NoneType|int|float)$"
            ):
                call(**{**right, "reverse": wrong})


@pytest.mark.parametrize("known", [False, True])
@over("cell", EVERY)
def test_a_tensor_that_is_stored_in_another_way_is_named(cell, known):
    """Sparse ones of the shape that is right, and nested ones; whether or not calls of such shapes
    were right before, which are not checked anew."""
    row, right = CELLS[cell], given(cell)
    names = [*row.inputs, *row.params, "h0" if len(row.states) == 1 else "state", "h_reset"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = [
            torch.nested.nested_tensor([torch.ones(3, C), torch.ones(T, C)], layout=layout)
            for layout in (torch.jagged, torch.strided)
        ]
        for call in ways(cell, right):
            for name in names:
                _layouts.clear()
                if known:
                    call(**right)
                for wrong in (_sparse(right[name]), *(_instead(right[name], x) for x in nested)):
                    with pytest.raises(TypeError, match=rf"^{name}( \w+)? must be a strided ten"):
                        call(**{**right, name: wrong})


def _sparse(x):
    return tuple(part.to_sparse() for part in x) if isinstance(x, tuple) else x.to_sparse()


def _instead(x, wrong):
    return (wrong,) * len(x) if isinstance(x, tuple) else wrong


def test_what_takes_the_place_of_a_stored_one_is_said():
    x = torch.ones(B, T, C)
    nested = torch.nested.nested_tensor([x[0, :3], x[1]], layout=torch.jagged)
    with pytest.raises(TypeError, match=r"got a nested one; .*to_padded_tensor\(v, 0\.0\) for seq"):
        lrnn.min_gru(x, nested)
    with pytest.raises(TypeError, match=r"got one of torch\.sparse_coo; k\.to_dense\(\) is"):
        lrnn.min_gru(x.to_sparse(), x)
    with pytest.raises(TypeError, match=r"^k must be a strided tensor"):
        lrnn.min_gru_step(x.to_sparse(), x[:, 0])


@over("cell", EVERY)
def test_a_type_that_torch_brings_to_no_other_is_named(cell):
    row, right = CELLS[cell], given(cell)
    state = "h0" if len(row.states) == 1 else "state"
    for name in (*row.inputs, *row.params, state, "h_reset"):
        narrow = _float8(right[name])
        with pytest.raises(TypeError, match=rf"^{name}( \w+)? has dtype torch\.float8_e4m3fn"):
            row.function(**{**right, name: narrow})


def _float8(x):
    if isinstance(x, tuple):
        return tuple(map(_float8, x))
    return (x.real if x.is_complex() else x).to(torch.float8_e4m3fn)


def test_types_that_a_cell_does_not_take_are_not_offered():
    x = torch.ones(B, T, C)
    with pytest.raises(TypeError, match=r"^c must be floating point, got torch\.int64$"):
        lrnn.bmru(x.long(), x, x[0, 0])
    with pytest.raises(TypeError, match=r"^a must be floating point or complex, got"):
        lrnn.linear_scan(x.long(), x)
    with pytest.raises(TypeError, match=r"^v has dtype torch\.complex64, but min_gru takes"):
        lrnn.min_gru(x, x.cfloat())


@pytest.mark.parametrize(("function", "stream"), [(lrnn.linear_scan, "b"), (lrnn.lru, "u")])
def test_a_real_stream_beside_a_complex_factor_is_said_to_be_split(function, stream):
    """Which is what it is where the widths fit."""
    x, factor = torch.randn(B, T, C), torch.polar(torch.rand(C), torch.randn(C))

    def call(x, factor):
        return function(factor, x) if function is lrnn.linear_scan else function(x, factor)

    said = rf"; {stream} is real, and so read as split storage of 2 complex channels: "
    said += rf"{stream}\.to\(torch\.complex64\) for complex values$"
    with pytest.raises(ValueError, match=r"\(2,\).*got \(4,\)" + said):
        call(x, factor)
    with pytest.raises(ValueError, match=f"^{stream} must have an even number of .* got 5" + said):
        call(torch.randn(B, T, 5), factor)
    y, _ = call(x.to(torch.complex64), factor)
    expected, _ = call(torch.cat([x, torch.zeros_like(x)], -1), factor)
    torch.testing.assert_close(torch.cat([y.real, y.imag], -1), expected)


def test_a_threshold_for_all_steps_may_be_a_parameter():
    c, beta, alpha = torch.randn(B, T, C), torch.rand(C), torch.ones(C)
    y, _ = lrnn.bmru(c, beta.expand_as(c), alpha)
    assert torch.equal(lrnn.bmru(c, torch.nn.Parameter(beta), alpha)[0], y)
    assert torch.equal(lrnn.bmru_step(c[:, 0], beta, alpha)[0], y[:, 0])
    with pytest.raises(ValueError, match=r"beta must have the shape of c, \(2, 5, 4\), or \(4,\)"):
        lrnn.bmru(c, torch.ones(B, C), alpha)
    with pytest.raises(TypeError, match="c must be a tensor, got list"):
        lrnn.bmru([1.0], beta, alpha)


@over("cell", EVERY)
def test_a_step_names_its_own_state(cell):
    row, right = CELLS[cell], given(cell)
    name = "h" if len(row.states) == 1 else "state"
    state = right["h0"] if name == "h" else right["state"]
    wide = tuple(x.double() for x in state) if name == "state" else state.to(torch.complex128)
    step = {x: right[x][:, 0] if right[x].dim() == 3 else right[x] for x in row.inputs}
    step |= {x: right[x] for x in row.params}
    with pytest.raises(TypeError, match=rf"^{name}( \w+)? has dtype torch\.(float64|complex128)"):
        row.streaming(**step, **{name: wide})
