"""What the layers promise: the values of a plain loop, and the conventions of torch.nn.GRU."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor

from lrnn_kernels import nn
from tests.layers.cases import (
    PLAIN,
    assert_same,
    each,
    every_layer,
    flat,
    gradients,
    make,
    one_sequence,
    plain_layers,
    random_state,
)


@every_layer
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", ["nothing", "h_0", "reset", "both"])
def test_values_and_gradients_are_those_of_a_loop(name, bidirectional, batch_first, given):
    B, T = 3, 6
    layer = make(name, 5, 4, 2, batch_first=batch_first, bidirectional=bidirectional)
    x = torch.randn(B, T, 5, dtype=torch.float64, requires_grad=True)
    h_0 = each(Tensor.requires_grad_, random_state(layer, B)) if given in ("h_0", "both") else None
    reset = torch.rand(B, T) < 0.3 if given in ("reset", "both") else None
    if batch_first:
        out, h_n = layer(x, h_0, reset)
    else:
        out, h_n = layer(x.transpose(0, 1), h_0, None if reset is None else reset.T)
        out = out.transpose(0, 1)
    starts = [None if h_0 is None else each(lambda h, b=b: h[:, b], h_0) for b in range(B)]
    rows = [
        one_sequence(layer, x[b], starts[b], None if reset is None else reset[b]) for b in range(B)
    ]
    expected = (
        torch.stack([y for y, _ in rows]),
        each(lambda *h: torch.stack(h, 1), *(h for _, h in rows)),
    )
    assert_same((out, h_n), expected)
    tensors = [x, *layer.parameters()] + ([] if h_0 is None else flat(h_0))
    assert_same(gradients((out, h_n), tensors), gradients(expected, tensors))


@plain_layers
def test_equal_sizes_take_the_elementwise_skip_and_agree_with_a_loop(name):
    layer = make(name, 4, 4)
    x = torch.randn(6, 1, 4, dtype=torch.float64)
    assert_same(layer(x)[0][:, 0], one_sequence(layer, x[:, 0], None, None)[0])


@plain_layers
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_backends_agree(name, backend):
    layer = make(name, 3, 4, backend=backend)
    other = make(name, 3, 4, backend="cpu")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert_same(layer(x), other(x))


@plain_layers
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 1, 5), (7, 5), (4, 1, 5), (1, 4, 5)])
def test_shapes_are_those_of_a_gru(name, bidirectional, batch_first, shape):
    arguments = (5, 8, 2, True, batch_first, 0.0, bidirectional)  # by position, as for torch.nn.GRU
    x = torch.randn(shape)
    out, h_n = PLAIN[name](*arguments)(x)
    gru_out, gru_h_n = torch.nn.GRU(*arguments)(x)
    assert out.shape == gru_out.shape
    assert all(h.shape == gru_h_n.shape for h in flat(h_n))


@plain_layers
def test_no_steps_leave_the_state(name):
    layer = make(name, 5, 4, 2, bidirectional=True)
    h_0 = random_state(layer, 3)
    out, h_n = layer(
        torch.zeros(0, 3, 5, dtype=torch.float64), h_0, torch.zeros(0, 3, dtype=torch.bool)
    )
    assert out.shape == (0, 3, 8)
    assert_same(h_n, h_0)


@every_layer
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched_input_is_a_batch_of_one(name, batch_first):
    layer = make(name, 5, 4, 2, batch_first=batch_first, bidirectional=True)
    x, h_0, reset = torch.randn(6, 5, dtype=torch.float64), random_state(layer), torch.rand(6) < 0.3
    out, h_n = layer(x, h_0, reset)
    dim = 0 if batch_first else 1
    expected, h_expected = layer(
        x.unsqueeze(dim), each(lambda h: h.unsqueeze(1), h_0), reset.unsqueeze(dim)
    )
    assert_same((out, h_n), (expected.squeeze(dim), each(lambda h: h.squeeze(1), h_expected)))


@every_layer
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("batch", [(3,), ()])
def test_steps_equal_the_scan(name, batch_first, batch):
    layer = make(name, 5, 4, 2, batch_first=batch_first)
    time = 1 if batch and batch_first else 0
    x = (
        torch.randn(*batch, 7, 5, dtype=torch.float64)
        if time or not batch
        else torch.randn(7, *batch, 5, dtype=torch.float64)
    )
    reset = torch.rand(x.shape[:-1]) < 0.2
    out, h_n = layer(x, None, reset)
    state, outputs = None, []
    for t in range(7):
        y, state = layer.step(x.select(time, t), state, reset.select(time, t))
        outputs.append(y)
    assert_same((torch.stack(outputs, time), state), (out, h_n))


def test_a_bidirectional_layer_cannot_step():
    with pytest.raises(RuntimeError, match="bidirectional"):
        nn.BMRU(5, 4, bidirectional=True).step(torch.zeros(1, 5))


@every_layer
def test_a_sequence_in_pieces_equals_the_whole(name):
    layer = make(name, 5, 4, 2)
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    out, h_n = layer(x)
    first, state = layer(x[:4])
    second, state = layer(x[4:], state)
    assert_same((torch.cat([first, second]), state), (out, h_n))
    weights = list(layer.parameters())
    assert_same(
        gradients((torch.cat([first, second]), state), weights), gradients((out, h_n), weights)
    )


@every_layer
def test_episodes_behind_each_other_equal_separate_runs(name):
    layer = make(name, 5, 4, batch_first=True, bidirectional=True)
    lengths = [4, 1, 6, 2]
    x = torch.randn(1, sum(lengths), 5, dtype=torch.float64)
    reset = torch.zeros(1, sum(lengths), dtype=torch.bool)
    reset[0, torch.tensor([0, *lengths[:-1]]).cumsum(0)] = True
    pieces = [layer(piece) for piece in x.split(lengths, 1)]
    out, h_n = layer(x, None, reset)
    ends = each(lambda last, first: torch.stack([last[0], first[1]]), pieces[-1][1], pieces[0][1])
    expected = torch.cat([y for y, _ in pieces], 1), ends
    assert_same((out, h_n), expected)
    weights = list(layer.parameters())
    assert_same(gradients((out, h_n), weights), gradients(expected, weights))


@plain_layers
def test_dropout_acts_between_layers_and_only_in_training(name):
    layer = make(name, 5, 4, 2, dropout=0.5)
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    plain = make(name, 5, 4, 2)
    assert_same(layer.eval()(x), plain(x))
    layer.train()
    assert_same(
        *(each(lambda h: h[0], rnn(x)[1]) for rnn in (layer, plain))
    )  # the first layer is not touched
    layer.dropout = 1.0
    nothing = torch.zeros(6, 3, 4, dtype=torch.float64)
    top = make(name, 4, 4)
    top.load_state_dict(
        {k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if "_l1" in k}
    )
    assert_same(layer(x)[0], top(nothing)[0])


@plain_layers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_states_are_float32_for_16_bit_layers_and_else_of_the_layer(name, dtype):
    layer = PLAIN[name](5, 8, bidirectional=True).to(dtype)
    out, h_n = layer(torch.randn(6, 3, 5, dtype=dtype))
    assert out.dtype == dtype
    real = torch.float64 if dtype == torch.float64 else torch.float32
    assert all(h.dtype == (real.to_complex() if name == "LRU" else real) for h in flat(h_n))


@plain_layers
@pytest.mark.parametrize("input_size", [5, 8])
def test_autocast_gives_16_bit_outputs_and_float32_states(name, input_size):
    layer = PLAIN[name](input_size, 8, 2)
    x = torch.randn(6, 3, input_size)
    with torch.autocast("cpu", torch.bfloat16):
        out, h_n = layer(x)
    assert out.dtype == torch.bfloat16
    assert all(h.dtype == (torch.complex64 if name == "LRU" else torch.float32) for h in flat(h_n))
    if name in (
        "LRU",
        "MinGRU",
        "BRC",
        "NBRC",
        "GRU",
        "LSTM",
        "MGU",
    ):  # smooth, so that rounding to 8 bits stays small; a unit that steps may take another level
        expected, h_expected = layer(x)
        assert_same((out.float(), h_n), (expected, h_expected), rtol=0.05, atol=0.1)
    (out.float().sum() + sum(h.abs().sum() for h in flat(h_n))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@every_layer
def test_copies_pickles_and_state_dicts_compute_the_same(name):
    layer = make(name, 5, 4, 2, bidirectional=True)
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    saved.seek(0)
    loaded = make(name, 5, 4, 2, bidirectional=True)
    loaded.reset_parameters()
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert_same(other(x), layer(x), rtol=0, atol=0)


@plain_layers
def test_layers_on_the_meta_device_are_drawn_once_they_have_memory(name):
    layer = PLAIN[name](5, 4, 2, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for p in layer.parameters():
            p.fill_(float("nan"))
    layer.reset_parameters()
    assert all(p.isfinite().all() for p in layer.parameters())


@plain_layers
def test_compiles_in_one_graph(name):
    torch.compiler.reset()
    layer = make(name, 3, 4)
    x, reset = torch.randn(5, 2, 3, dtype=torch.float64), torch.rand(5, 2) < 0.3
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    outputs, expected = compiled(x, None, reset), layer(x, None, reset)
    assert_same(outputs, expected)
    weights = list(layer.parameters())
    assert_same(gradients(outputs, weights), gradients(expected, weights))


@plain_layers
def test_an_ensemble_runs_under_vmap(name):
    layers = [make(name, 4, 4) for _ in range(2)]
    for p in layers[1].parameters():
        p.data.mul_(0.9)
    x = torch.randn(5, 2, 4, dtype=torch.float64)
    weights, _ = torch.func.stack_module_state(layers)

    def out(p):
        return torch.func.functional_call(layers[0], p, (x,))[0]

    assert_same(torch.func.vmap(out)(weights), torch.stack([layer(x)[0] for layer in layers]))
    grads = torch.func.vmap(torch.func.grad(lambda p: out(p).square().sum()))(weights)
    for i, layer in enumerate(layers):
        expected = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
        assert_same([grads[key][i] for key, _ in layer.named_parameters()], list(expected))


BAD_CALLS = {
    "x of one dimension": (
        {"x": torch.zeros(5)},
        r"x must have shape \(T, B, 5\) or \(T, 5\), got \(5,\)",
    ),
    "x of another width": (
        {"x": torch.zeros(6, 3, 4)},
        "x must have input_size = 5 channels, got 4",
    ),
    "h_0 of another batch": (
        {"h_0": torch.zeros(2, 1, 8)},
        r"h_0 must have shape \(2, 3, 8\), got \(2, 1, 8\)",
    ),
    "h_0 of one layer": (
        {"h_0": torch.zeros(1, 3, 8)},
        r"h_0 must have shape \(2, 3, 8\), got \(1, 3, 8\)",
    ),
    "h_0 without batch": (
        {"h_0": torch.zeros(2, 8)},
        r"h_0 must have shape \(2, 3, 8\), got \(2, 8\)",
    ),
    "reset transposed": (
        {"reset": torch.zeros(3, 6, dtype=torch.bool)},
        r"reset must have shape \(6, 3\), got \(3, 6\)",
    ),
    "reset of floats": (
        {"reset": torch.zeros(6, 3)},
        "reset must be a bool tensor, got torch.float32",
    ),
    "x is a list": ({"x": [1.0]}, "x must be a tensor, got list"),
}


@plain_layers
@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_name_the_argument_what_came_and_what_was_due(name, case):
    arguments, message = BAD_CALLS[case]
    layer = PLAIN[name](5, 8, 2)
    if len(layer.cell.states) > 1 and "h_0" in arguments:  # the last of the states is the wrong one
        good = [torch.zeros(2, 3, 8)] * (len(layer.cell.states) - 1)
        arguments, message = (
            {"h_0": (*good, arguments["h_0"])},
            message.replace("h_0", f"h_0 {layer.cell.states[-1]}", 1),
        )
    with pytest.raises((ValueError, TypeError), match=message):
        layer(**{"x": torch.zeros(6, 3, 5), **arguments})


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (nn.BMRU, {"input_size": 0}, "input_size must be at least 1, got 0"),
        (nn.BMRU, {"hidden_size": 2.0}, "hidden_size must be an int, got float"),
        (nn.CMRU, {"num_layers": 0}, "num_layers must be at least 1, got 0"),
        (nn.LRU, {"dropout": 1.5}, r"dropout must be in \[0, 1\], got 1.5"),
        (
            nn.MinGRU,
            {"initial_state": "random"},
            "initial_state must be one of 'zero', 'learned', got 'random'",
        ),
        (nn.BMRU, {"eps": 2}, r"eps must be in \[0, 1\], got 2"),
        (nn.FQBMRU, {"width": 0}, r"width must be in \(0, inf\), got 0"),
        (
            nn.CMRU,
            {"initial_state": "zero", "quantize_initial_state": True},
            "needs initial_state='learned'",
        ),
        (nn.LRU, {"r_min": 0.9, "r_max": 0.5}, r"r_min must be in \[0, 0.5\], got 0.9"),
    ],
)
def test_bad_options_are_refused(cls, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cls(**{"input_size": 5, "hidden_size": 8, **arguments})


def test_the_lru_takes_complex_states_only():
    with pytest.raises(TypeError, match=r"h_0 must be complex for the LRU, got torch.float32"):
        nn.LRU(5, 8)(torch.zeros(6, 3, 5), torch.zeros(1, 3, 8))


def test_every_layer_is_exported():
    """The tests of layers take those that lrnn_kernels.nn exports."""

    def below(cls) -> set[type]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    ours = {cls for cls in below(nn.Recurrent) if cls.__module__.startswith(nn.__name__)}
    assert {cls for cls in ours - {nn.Recurrent} if not cls.__name__.startswith("_")} == set(
        PLAIN.values()
    )
