"""What layers say of arguments that other libraries have, and of what is nearly right."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

import lrnn_kernels
from lrnn_kernels import agents, models, nn, src
from lrnn_kernels.nn import signature
from tests.layers.cases import PLAIN, plain_layers

X = torch.randn(6, 3, 5)


def stack() -> nn.Stack:
    return nn.Stack(nn.SRC(5, 4), nn.LRU(4, 4))


def backbone() -> models.Backbone:
    return models.Backbone(models.BackboneConfig(5, 2, "GRU", width=4))


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
            lambda: nn.GRU(5, 4)(X, mask=None),
            "'mask': sequences of several lengths are a PackedSequence, as .* makes it of x and "
            "lengths; True where a sequence starts anew is reset; arguments",
        ),
        (lambda: stack()(X, attention_mask=None), "'attention_mask': .* are a PackedSequence"),
        (lambda: nn.GRU(5, 4)(X, done=None), "'done': True where a sequence starts anew is reset;"),
        (lambda: nn.GRU(5, 4).step(X[0], mask=None), "'mask': True where a sequence starts anew"),
        (
            lambda: backbone()(X, mask=None),
            "Backbone takes no argument 'mask': sequences of several lengths are padded at their "
            "ends, with lengths; True where a sequence .* is reset; arguments are x, states, reset",
        ),
        (lambda: backbone()(X, hx=None), "Backbone takes no argument 'hx': .* are states; arg"),
        (lambda: backbone().step(X[0], mask=None), "Backbone takes no argument 'mask': True wh"),
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
    taken = {"h_0", "state", "states", "reset", "return_sequence", "lengths"}
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
        for x in (X.bfloat16(), X.half()):
            # Of the same numbers, for a latch near its threshold may hold another value.
            torch.testing.assert_close(layer(x)[0], layer(x.float())[0], atol=0, rtol=0)
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


@pytest.mark.parametrize("name", [*PLAIN, "Stack", "IntegerSRC", "Backbone"])
def test_tensors_that_are_stored_in_another_way_are_told_what_is_taken(name):
    """A sequence and a step, with gradients and without."""
    made = {"Stack": stack, "Backbone": backbone}
    layer = made[name]() if name in made else getattr(nn, name)(5, 4)
    calls = [layer, *([lambda x: layer.step(x)] if hasattr(layer, "step") else [])]
    instead = {"Backbone": "to_padded_tensor", "IntegerSRC": "to_padded_tensor"}
    words = rf"got a nested one; .*{instead.get(name, 'pack_sequence')}\(.* of several lengths$"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = [
            torch.nested.nested_tensor([X[:2, 0], X[:4, 0]], layout=layout)
            for layout in (torch.jagged, torch.strided)
        ]
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                for x in nested:
                    for call in calls:
                        with pytest.raises(TypeError, match=words):
                            call(x)
                for call, x in zip(calls, (X, X[0]), strict=False):
                    with pytest.raises(TypeError, match=r"got one of torch\..*x\.to_dense\(\) is"):
                        call(x.to_sparse())


@pytest.mark.parametrize("name", ["MinGRU", "GRU", "SRC", "LSTM", "LRU"])
def test_states_that_are_stored_in_another_way_are_called_as_they_were_given(name):
    layer = getattr(nn, name)(5, 4)
    h = nn.detach(layer(X)[1])
    sparse = tuple(q.to_sparse() for q in h) if isinstance(h, tuple) else h.to_sparse()
    for call, given in ((layer, X), (layer.step, X[0])):
        with pytest.raises(
            TypeError, match=r"^(h_0|state)( \w+)? must be a strided tensor, got one"
        ):
            call(given, sparse)


def test_what_is_said_to_take_the_place_of_a_nested_one_does():
    pieces = [X[:2, 0], X[:6, 1], X[:4, 2]]
    x = torch.nested.nested_tensor(pieces, layout=torch.jagged)
    layer = nn.MinGRU(5, 4)
    with pytest.raises(TypeError, match="pack_sequence") as raised:
        layer(x)
    call = str(raised.value).split("; ")[1].split(" for sequences")[0]
    out, _ = layer(eval(call, {"torch": torch, "list": list, "x": x}))
    for got, piece in zip(torch.nn.utils.rnn.unpack_sequence(out), pieces, strict=True):
        torch.testing.assert_close(got, layer(piece)[0])


def test_a_packed_sequence_for_a_backbone_is_told_of_lengths():
    packed = pack_padded_sequence(X, [6, 4, 4])
    with pytest.raises(TypeError, match=r"got PackedSequence: .*pad_packed_sequence\(x, .*leng"):
        backbone()(packed)


@plain_layers
def test_a_dropout_that_does_nothing_warns_as_torchs_does(name):
    with pytest.warns(UserWarning, match="got dropout=0.1 and num_layers=1") as caught:
        PLAIN[name](5, 4, dropout=0.1)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PLAIN[name](5, 4, num_layers=2, dropout=0.1)
        PLAIN[name](5, 4, dropout=0.0)


def test_every_public_forward_says_what_it_takes_and_returns():
    """Not torch.nn.Module's words, which stand where a class has none of its own."""
    found = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (nn, models, agents, lrnn_kernels.neurons)
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
        and issubclass(getattr(module, name), torch.nn.Module)
    }
    assert len(found) > 20
    silent = [name for name, cls in found.items() if not cls.forward.__doc__]
    assert silent == []
    for layer in PLAIN.values():
        said = inspect.getdoc(layer.forward)
        assert all(f"{word}:" in said for word in ("x", "h_0", "reset", "out", "h_n")), said
