"""What layers say of arguments that other libraries have, and of what is nearly right."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

from lrnn_kernels import nn, src
from lrnn_kernels.nn import signature
from tests.layers.cases import PLAIN, plain_layers

X = torch.randn(6, 3, 5)


def stack() -> nn.Stack:
    return nn.Stack(nn.SRC(5, 4), nn.LRU(4, 4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: nn.SRC(5, 4, spike_grad=None),
            "SRC takes no argument 'spike_grad': a spike's derivative is surrogate, with its width;"
            " arguments are input_size, hidden_size, num_layers, .*, surrogate, width, ",
        ),
        (lambda: nn.SRC(5, 4, beta=0.9), "'beta': the factor by which the current .* is leak;"),
        (lambda: nn.BMRU(5, 4, beta=0.9), "BMRU takes no argument 'beta': .* beta_init; arg"),
        (lambda: nn.GRU(5, 4, beta=0.9), "GRU takes no argument 'beta'; arguments are input_"),
        (lambda: nn.SRC(5, 4, init_hidden=True), "'init_hidden': a layer keeps no state"),
        (lambda: nn.LSTM(5, 4, proj_size=2), "'proj_size': a projection is a torch.nn.Linear"),
        (
            lambda: nn.SRC(5, 4, anything=1, bias=True),
            "SRC takes no argument 'anything'; arguments are input_size, .*, backend$",
        ),
        (
            lambda: nn.SRC(5, 4)(X, state=None),
            "SRC takes no argument 'state': a layer's initial state is h_0; arguments are x, h_0, "
            "reset, return_sequence$",
        ),
        (lambda: nn.GRU(5, 4)(X, hx=None), "GRU takes no argument 'hx': .* is h_0"),
        (lambda: nn.GRU(5, 4)(X, lengths=[6]), "'lengths': .*pack_padded_sequence"),
        (
            lambda: nn.GRU(5, 4).step(X[0], h_0=None),
            "GRU takes no argument 'h_0': the state before a step is state; arguments are x, state",
        ),
        (
            lambda: stack()(X, lengths=[6]),
            "Stack takes no argument 'lengths': .* arguments are x, states, reset, return_seq",
        ),
        (lambda: stack()(X, h_0=None), "Stack takes no argument 'h_0': .* are states; arguments"),
        (lambda: stack().step(X[0], state=None), "Stack takes no argument 'state': .* are states"),
        (lambda: nn.Parallel(nn.LRU(5, 4))(X, hx=None), "Parallel takes no argument 'hx'"),
    ],
)
def test_keywords_that_others_take_are_named_with_ours(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_the_counterparts_are_arguments_that_some_layer_takes():
    taken = {"h_0", "state", "states", "reset", "return_sequence"}
    for layer in PLAIN.values():
        taken |= signature.constructor(layer, nn.Recurrent).parameters.keys()
    assert {ours for _, ours, _ in signature.COUNTERPARTS} <= taken


@plain_layers
def test_python_s_own_messages_name_the_layer(name):
    class Mine(PLAIN[name]):
        pass

    with pytest.raises(TypeError, match=rf"{name}\.__init__\(\) missing 1 .*'hidden_size'"):
        PLAIN[name](28)
    with pytest.raises(TypeError, match=r"Mine\.__init__\(\) missing 1 .*'hidden_size'"):
        Mine(28)
    assert isinstance(Mine(5, 4)(X)[0], torch.Tensor)


def test_a_constructor_of_ones_own_stays():
    class Base(nn.MinGRU):
        def __init__(self, size):
            super().__init__(size, size)

    class Derived(Base):
        pass

    assert Derived(4).hidden_size == 4
    with pytest.raises(TypeError, match=r"Base\.__init__\(\) missing 1 .*'size'"):
        Derived()


@plain_layers
def test_an_x_of_another_type_than_the_parameters(name):
    layer = PLAIN[name](5, 4, num_layers=2)
    words = r"x must be float32, as the parameters, got float64: x\.float\(\), or layer\.double\(\)"
    packed = pack_padded_sequence(X.double(), torch.tensor([6, 4, 4]))
    for call in (
        lambda: layer(X.double()),
        lambda: layer(X[:, 0].double()),
        lambda: layer(packed),
        lambda: layer(X.double(), return_sequence=False),
        lambda: layer.step(X[0].double()),
        lambda: torch.no_grad()(layer.step)(X[0].double(), layer(X)[1]),
        lambda: nn.Stack(layer)(X.double()),
        lambda: torch.compile(layer, backend="eager")(X.double()),
    ):
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(TypeError, match=r"got bfloat16: x\.float\(\), or layer\.bfloat16\(\)"):
        layer(X.bfloat16())
    with pytest.raises(TypeError, match=r"must be float64, .*: x\.double\(\), or layer\.float\(\)"):
        PLAIN[name](5, 4).double()(X)


def test_a_member_of_torch_says_it_too():
    with pytest.raises(TypeError, match="x must be float32, as the parameters, got float64"):
        nn.Stack(torch.nn.GRU(5, 4)).step(X[0].double())


@plain_layers
def test_autocast_takes_all_types_but_float64(name):
    layer = PLAIN[name](5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(X)[0]
        for x in (X.bfloat16(), X.half()):
            torch.testing.assert_close(layer(x)[0], expected, atol=0.1, rtol=0.1)
            layer.step(x[0])
        with pytest.raises(TypeError, match="x must be float32, as the parameters, got float64"):
            layer(X.double())


def test_parameters_that_are_made_are_not_asked():
    layer = parametrizations.weight_norm(nn.GRU(5, 4), "weight_ih_l0")
    assert layer(X)[0].shape == (6, 3, 4)


@plain_layers
def test_parameters_of_a_call_are_those_that_are_compared(name):
    layer = PLAIN[name](5, 4)
    wide = {key: p.detach().double() for key, p in layer.named_parameters()}
    out, _ = torch.func.functional_call(layer, wide, (X.double(),))
    assert out.dtype == torch.float64
    with pytest.raises(TypeError, match="x must be float64, as the parameters, got float32"):
        torch.func.functional_call(layer, wide, (X,))


@plain_layers
def test_what_is_no_tensor_is_told_what_is(name):
    layer = PLAIN[name](5, 4)
    for call in (layer, lambda x: layer.step(x), lambda x: layer(x, return_sequence=False)):
        with pytest.raises(TypeError, match=r"got ndarray; torch\.from_numpy\(x\) is"):
            call(X.numpy())
        with pytest.raises(
            TypeError,
            match=r"got tuple: layers return \(out, state\), nn\.Stack passes out alone",
        ):
            call((X, None))
    with pytest.raises(TypeError, match=r"nn\.Stack passes out alone"):
        torch.nn.Sequential(layer, PLAIN[name](4, 4))(X)
    with pytest.raises(TypeError, match=r"got list$"):
        layer([1.0])


def test_masks_and_operators_too():
    words = r"reset must be a bool tensor, got torch\.int64; reset\.bool\(\) is"
    with pytest.raises(TypeError, match=words):
        nn.SRC(5, 4)(X, reset=torch.zeros(6, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=words):
        src(X, torch.zeros(5), reset=torch.zeros(6, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"u must be a tensor, got ndarray; torch\.from_numpy\(u\)"):
        src(X.numpy(), torch.zeros(5))
    with pytest.raises(TypeError, match=r"x must be a tensor, got ndarray; torch\.from_numpy"):
        nn.IntegerSRC(5, 4)(np.zeros((6, 3, 5), bool))
    with pytest.raises(TypeError, match=r"nn\.Stack passes out alone"):
        torch.nn.Sequential(nn.SRC(5, 4, threshold=0.5), nn.IntegerSRC(4, 4))(X)
