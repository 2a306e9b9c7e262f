"""States between calls: their names in errors, their types, and a sequence in pieces whose backward
pass ends where a piece begins."""

import pytest
import torch

from lrnn_kernels import models, nn
from lrnn_kernels.nn import states
from tests.layers.cases import PLAIN, flat, plain_layers

X = torch.randn(6, 3, 5)


def _wide(h):
    """The next wider type of each state."""
    if isinstance(h, tuple):
        return tuple(map(_wide, h))
    return h.to(torch.complex128 if h.is_complex() else torch.float64)


def _first(change, h):
    return (change(h[0]), *h[1:]) if isinstance(h, tuple) else change(h)


@plain_layers
@pytest.mark.parametrize("change", [_wide, lambda h: _first(_wide, h)], ids=["all", "first"])
def test_a_state_of_a_wider_type_is_called_as_its_user_calls_it(name, change):
    layer = PLAIN[name](5, 4, num_layers=2)
    h = change(layer(X)[1])
    for call in (
        lambda: layer(X, h),
        lambda: layer(X, h, return_sequence=False),
        lambda: layer(torch.nn.utils.rnn.pack_padded_sequence(X, [6, 4, 4]), h),
        lambda: layer(X[:, 0], _first_of_batch(h)),
        lambda: torch.compile(layer, backend="eager")(X, h),
    ):
        with pytest.raises(TypeError, match=r"^h_0( \w+)? has dtype torch\.(float64|complex128)"):
            call()
    for grad in (True, False):
        with (
            torch.set_grad_enabled(grad),
            pytest.raises(TypeError, match=r"^state( \w+)? has dtype"),
        ):
            layer.step(X[0], h)


def _first_of_batch(h):
    return tuple(map(_first_of_batch, h)) if isinstance(h, tuple) else h[:, 0]


@plain_layers
def test_states_of_16_bit_activations_and_narrower_ones_are_taken(name):
    layer = PLAIN[name](5, 4)
    _, h = layer(X)
    with torch.autocast("cpu", torch.bfloat16):
        layer(X, h)
        layer.step(X[0].bfloat16(), h)
    wide = PLAIN[name](5, 4).double()
    wide(X.double(), h)
    wide.step(X[0].double(), h)


@plain_layers
def test_a_state_of_the_other_kind_is_refused_by_its_name(name):
    """A real one of complex states, and the other way about."""
    layer = PLAIN[name](5, 4)
    shape = (1, 3, 4)
    other = torch.zeros(shape, dtype=None if layer.cell.complex else torch.complex64)
    other = (other,) * len(layer.cell.states) if len(layer.cell.states) > 1 else other
    with pytest.raises(TypeError, match=r"^h_0( \w+)? (must be complex|has dtype torch.complex64)"):
        layer(X, other)
    with pytest.raises(TypeError, match=r"^state( \w+)? (must be complex|has dtype torch.compl)"):
        layer.step(X[0], other)


@plain_layers
def test_a_gradient_penalty_is_refused_by_a_public_name(name):
    layer, x = PLAIN[name](5, 4), X.clone().requires_grad_()
    (grad,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    if layer.cell.linear:
        grad.square().sum().backward()
        return
    public = layer.cell.function.__name__
    with pytest.raises(NotImplementedError, match=rf"^{public}: second .*use backend='reference'"):
        grad.square().sum().backward()
    layer = PLAIN[name](5, 4, backend="reference")
    (grad,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    grad.square().sum().backward()


def _networks():
    yield from (layer(5, 4) for layer in PLAIN.values())
    parallel = nn.Parallel(nn.LRU(4, 4), torch.nn.LSTM(4, 4), nn.SRC(4, 4))
    yield nn.Stack(torch.nn.GRU(5, 4), parallel, nn.BMRU(4, 4))
    for head in ("steps", "mean"):
        config = models.BackboneConfig(5, 2, ("GRU", "LSTM"), width=4, head=head, conv=3, dropout=0)
        yield models.Backbone(config)


@pytest.mark.parametrize("network", [*_networks()], ids=lambda network: type(network).__name__)
def test_detached_states_go_on_and_let_no_gradient_through(network):
    x = torch.randn(4, 3, 5, requires_grad=True)
    _, found = network(x)
    detached = nn.detach(found)
    pairs = list(zip(states.tensors(found), states.tensors(detached), strict=True))
    assert any(h.requires_grad for h, _ in pairs)
    for h, same in pairs:
        assert not same.requires_grad
        assert same.data_ptr() == h.data_ptr()
    for given, expected in ((found, True), (detached, False)):
        out, _ = network(torch.randn(4, 3, 5), given)
        (grad,) = torch.autograd.grad(out.sum(), x, allow_unused=True, retain_graph=True)
        assert (grad is not None) == expected
    assert torch.equal(network(x, found)[0], network(x, detached)[0])


def test_detach_keeps_what_holds_the_states():
    h = torch.ones(2, requires_grad=True)
    assert nn.detach(None) is None
    found = nn.detach({"a": [h, None], "b": (h, (h,))})
    assert [type(found["a"]), type(found["b"]), type(found["b"][1])] == [list, tuple, tuple]
    assert found["a"][1] is None
    assert not any(x.requires_grad for x in flat([found["a"][0], found["b"]]))
    for wrong in (1.0, (h, "h"), torch.nn.utils.rnn.pack_sequence([h])):
        with pytest.raises(TypeError, match="states must be tensors, or tuples, lists or "):
            nn.detach(wrong)
