"""A layer's outputs are its user's: they may be detached, changed and seen flat in place, as
torch.nn.GRU's, and no gradient is wrong."""

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from tests.conftest import refusals
from tests.layers.cases import assert_same, every_layer, flat, gradients, make, random_state

T, B, IN, H = 5, 3, 2, 4

#: name -> (batch_first, the layer's outputs of a seeded input)
FORMS = {
    "time first": (False, lambda rnn: rnn(_input(T, B))),
    "batch first": (True, lambda rnn: rnn(_input(B, T))),
    "transposed": (False, lambda rnn: rnn(_input(B, T).transpose(0, 1))),
    "transposed batch first": (True, lambda rnn: rnn(_input(T, B).transpose(0, 1))),
    "unbatched": (False, lambda rnn: rnn(_input(T))),
    "one sequence": (False, lambda rnn: rnn(_input(T, 1))),
    "packed": (False, lambda rnn: _packed(rnn, enforce_sorted=False)),
    "packed and sorted": (False, lambda rnn: _packed(rnn, enforce_sorted=True)),
    "with states": (
        False,
        lambda rnn: rnn(_input(T, B), _states(rnn), torch.ones(T, B, dtype=torch.bool)),
    ),
    "the end alone": (False, lambda rnn: rnn(_input(T, B), return_sequence=False)),
    "the end alone, packed": (False, lambda rnn: _packed(rnn, False, return_sequence=False)),
    "step": (False, lambda rnn: rnn.step(_input(B))),
    "step, batch first": (True, lambda rnn: rnn.step(_input(B), _states(rnn))),
    "unbatched step": (False, lambda rnn: rnn.step(_input())),
}
FORM = pytest.mark.parametrize("form", FORMS)


def _input(*batch: int) -> Tensor:
    return torch.randn(*batch, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _states(rnn):
    torch.manual_seed(2)
    return random_state(rnn, B)


def _packed(rnn, enforce_sorted: bool, **kwargs):
    out, h_n = rnn(
        pack_sequence(
            [*_input(B, T)[0:1], _input(B, T)[1][:3], _input(B, T)[2][:2]],
            enforce_sorted=enforce_sorted,
        ),
        **kwargs,
    )
    return (out if isinstance(out, Tensor) else out.data), h_n


def _layers(name: str, form: str):
    """One and two layers, and both directions where the form allows."""
    for count in (1, 2):
        for bidirectional in (False, True) if "step" not in form else (False,):
            yield make(name, IN, H, count, batch_first=FORMS[form][0], bidirectional=bidirectional)


@every_layer
@FORM
def test_outputs_may_be_detached_and_changed_and_states_seen_flat(name, form):
    for rnn in _layers(name, form):
        for with_gradients in (True, False):
            with torch.set_grad_enabled(with_gradients):
                out, h_n = FORMS[form][1](rnn)
                states = flat(h_n)
                assert all(x.requires_grad == with_gradients for x in (out, *states))
                before = out.clone()
                for h in states:
                    assert h.view(-1).shape == (h.numel(),)
                    h[:, :1] = 0
                    h.mul_(2).zero_()
                assert torch.equal(out, before)  # no memory is shared
                for x in (out, *states):
                    x.detach_()
                    assert not x.requires_grad
                assert not out.zero_().any()


@every_layer
@FORM
@pytest.mark.parametrize("changed", ["out", "h_n"])
def test_a_change_in_place_has_its_gradient_or_is_refused(name, form, changed):
    """Episodes that ended are zeroed in the carried states; as one would have multiplied by 0."""
    for rnn in _layers(name, form):
        weights = list(rnn.parameters())

        def loss(in_place, rnn=rnn):
            out, h_n = FORMS[form][1](rnn)
            outputs = [out] if changed == "out" else flat(h_n)
            others = flat(h_n) if changed == "out" else [out]
            outputs = [x.mul_(3) if in_place else x * 3 for x in outputs]
            return sum(x.abs().square().sum() for x in (*outputs, *others))

        expected = torch.autograd.grad(loss(False), weights, allow_unused=True)
        with refusals(
            allowed=changed == "out"
        ):  # what the states were copied from is not changed with them
            assert_same(torch.autograd.grad(loss(True), weights, allow_unused=True), expected)


@every_layer
@FORM
def test_a_change_behind_autograds_back_is_refused(name, form):
    """Under no_grad the value changes and the graph does not: the backward pass must not read
    what it did not save."""
    for rnn in _layers(name, form):
        weights = list(rnn.parameters())
        expected = gradients(FORMS[form][1](rnn), weights)
        outputs = flat(FORMS[form][1](rnn))
        with torch.no_grad():
            for x in outputs:
                x.fill_(7.0)
        with refusals():
            assert_same(
                gradients(outputs, weights), expected
            )  # of a weighted sum, which saves none of them


@pytest.mark.parametrize("cell", CELLS)
def test_an_operators_states_may_be_changed_in_place(cell):
    """Each of them: the states of a cell that has several lie side by side in what its kernel
    returns."""
    dtype = next(d for d in (torch.float64, torch.complex128) if d in CELLS[cell].dtypes)
    call = testing.random_call(cell, 2, 5, 3, dtype=dtype)
    leaves = {name: x.clone().requires_grad_() for name, x in call.tensors().items()}
    states, function = leaves, call.entry.function
    if len(call.entry.states) > 1:
        states = {name: x for name, x in leaves.items() if name != "h0"}
        states["state"] = leaves["h0"].chunk(len(call.entry.states), -1)
    for with_gradients in (True, False):
        with torch.set_grad_enabled(with_gradients):
            _, last = function(**states, **testing.accepted(cell, call.options))
            before = [h.clone() for h in flat(last)]
            for h in flat(last):
                h[0] = 0
                h.detach_()
            assert_same([h[1] for h in flat(last)], [h[1] for h in before])
            assert not any(h[0].any() for h in flat(last))
