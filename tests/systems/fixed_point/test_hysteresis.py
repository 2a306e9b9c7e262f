"""First-quadrant BMRUs in integers: they are nn.FQBMRU's, on every input."""

from itertools import product

import numpy as np
import pytest
import torch

from lrnn_kernels import fixed_point as fp
from lrnn_kernels import nn
from lrnn_kernels.fixed_point.vhdl.hysteresis.cases import random_network

FLOATS = {torch.float32: np.float32, torch.float64: np.float64}


def twin(network: fp.HysteresisNetwork, dtype: torch.dtype = torch.float32) -> nn.FQBMRU:
    """The float layer with the network's integers as its parameters."""
    units = len(network.layers[0].bias)
    layer = nn.FQBMRU(
        network.inputs,
        units,
        len(network.layers),
        batch_first=True,
        dtype=dtype,
        backend="reference",
    )
    parameters = network.parameters(FLOATS[dtype])
    layer.load_state_dict({name: torch.from_numpy(x) for name, x in parameters.items()})
    return layer


def out_of(layer: nn.FQBMRU, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return layer(torch.from_numpy(x).to(next(layer.parameters()).dtype))[0].numpy()


def every_unit(initial: bool) -> fp.HysteresisLayer:
    """All units of one input with small numbers."""
    bands = [(low, high) for low in range(6) for high in range(low, low + 4)]
    rows = [(w, b, *band) for w, b, band in product(range(-2, 4), range(-4, 5), bands)]
    weights, bias, low, high = np.array(rows).T
    return fp.HysteresisLayer(weights[:, None], bias, low, high, np.full(len(rows), initial))


@pytest.mark.parametrize("initial", [False, True])
def test_every_unit_on_every_input_in_every_state(initial):
    """One step of each of eight inputs: the equations, and the float layer."""
    layer = every_unit(initial)
    network = fp.HysteresisNetwork([layer], input_bits=3)
    x = np.arange(8)[:, None, None]
    found = network.run(x).states[:, 0]  # (8, units)
    for value in range(8):
        columns = (layer.weights[:, 0], layer.bias, layer.low, layer.high, found[value])
        for w, b, low, high, state in zip(*(c.tolist() for c in columns), strict=True):
            u = max(w * value + b, 0)
            assert state == (True if u >= high else False if u <= low else initial)
    u = np.stack([network.states(x, i).layers[0].u[0] for i in range(8)])
    for tie in (u == layer.low, u == layer.high, (u == layer.low) & (u == layer.high)):
        assert tie.sum() > 100
    held = (u > layer.low) & (u < layer.high)
    assert held.sum() > 300
    assert np.array_equal(found, out_of(twin(network), x)[:, 0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_stack_on_long_sequences(dtype):
    rng = np.random.default_rng(0)
    network = random_network(rng, (7, 30, 30, 30), 20, input_bits=5)
    assert max(network.sum_bits) <= 25
    x = rng.integers(0, 32, (3, 600, 7)) * (rng.random((3, 600, 1)) < 0.5)
    found = network.run(x).states
    switches = (found[:, 1:] != found[:, :-1]).any(1)
    assert switches.mean() > 0.3
    assert np.array_equal(found, out_of(twin(network, dtype), x))
    one = network.states(x, 2)
    assert np.array_equal(one.layers[-1].state, found[2])
    assert one.values is None


def on_the_grid(seed: int, **options) -> tuple[nn.FQBMRU, torch.nn.Linear]:
    """A trained layer's like, all of whose weights and biases are multiples of 1/16."""
    rng = np.random.default_rng(seed)
    layer = nn.FQBMRU(3, 12, 2, batch_first=True, backend="reference", **options)
    head = torch.nn.Linear(12, 5, bias=options.get("bias", True))
    draw = {"weight": (-20, 21), "bias": (-12, 13), "p1": (-9, 10), "p2": (-9, 10)}
    with torch.no_grad():
        for name, p in [*layer.named_parameters(), *head.named_parameters()]:
            if (limits := draw.get(name.split("_")[0])) is not None:
                p.copy_(torch.from_numpy(rng.integers(*limits, tuple(p.shape)) / 16))
            elif name.startswith("alpha"):
                p.copy_(torch.from_numpy(rng.choice([-2.0, -1.0, 0.5, 1.0, 2.0], 12)))
            elif name.startswith("s0"):
                p.copy_(torch.from_numpy(rng.choice([0.0, 0.3, 0.5, 1.0], 12)))
    return layer, head


@pytest.mark.parametrize("off", [0.0, 1 / 48])
@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"initial_state": "zero"}, {"dtype": torch.float64, "dropout": 0.5}],
    ids=str,
)
def test_an_exported_layer_is_the_layer(options, off):
    """Of weights on the grid, whatever its thresholds are: every state is alpha or 0 as the
    layer's, and the read-out's sums are its own."""
    layer, head = on_the_grid(0, **options)
    with torch.no_grad():
        for k in range(2):
            layer.get_parameter(f"p1_l{k}").add_(off)
            layer.get_parameter(f"p2_l{k}").add_(off)
    head.to(layer.p1_l0.dtype)
    layer.eval()
    network = fp.from_fq_bmru(
        layer, [6, 5, 5], input_bits=3, input_step=0.25, input_offset=-0.5, read_out=head
    )
    rng = np.random.default_rng(1)
    x = rng.integers(0, 8, (20, 200, 3)) * (rng.random((20, 200, 1)) < 0.7)
    expected = out_of(layer, 0.25 * x - 0.5)
    found = network.run(x)
    alpha = layer.alpha_l1.detach().numpy()
    assert (found.states[:, 1:] != found.states[:, :-1]).any((0, 1)).sum() >= 6  # units that switch
    assert np.array_equal(np.where(found.states, alpha, 0), expected)
    with torch.no_grad():
        sums = head(torch.from_numpy(expected)).numpy()
    assert np.array_equal(found.values / 32, sums)
    assert np.array_equal(found.labels, sums.argmax(2))


def test_a_layer_off_the_grid_is_rounded_to_it():
    """To the nearest: from as many bits as it takes, the network is the layer almost always."""
    torch.manual_seed(0)
    layer = nn.FQBMRU(8, 40, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0.fill_(-0.7)
    x = np.random.default_rng(0).integers(0, 256, (4, 300, 8))
    expected = out_of(layer, x / 255)
    for bits, least in ((9, 0.9), (16, 0.999)):
        network = fp.from_fq_bmru(layer, bits, input_bits=8, input_step=1 / 255)
        assert (network.run(x).states == expected).mean() > least
    weights = layer.weight_ih_l0.detach().double().numpy() / 255
    assert np.abs(network.layers[0].weights - weights * 2**16).max() <= 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bidirectional": True}, "must have one direction, got bidirectional=True"),
        ({"eps": 0.5}, r"layer\.eps must be 0, as training ends, got 0\.5"),
        ({"quantize_initial_state": False}, r"s0_l0 must be 0 or 1 .* got 0\.[35]"),
    ],
)
def test_what_the_hardware_cannot_be_is_refused(change, words):
    layer, _ = on_the_grid(0, **change)
    with pytest.raises(ValueError, match=words):
        fp.from_fq_bmru(layer, 6, input_bits=3)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("weight_ih_l1", float("nan"), "weight_ih_l1 must be finite, got nan"),
        ("p2_l0", float("inf"), r"\|p1_l0\| \+ \|p2_l0\| must be finite, got inf"),
        ("bias_ih_l0", 1e9, r"bias_ih_l0 must be below 2\^31 in units of .* got 6\.4e\+10"),
        ("p1_l1", 1e9, r"beta_lo of layer 1 must be below 2\^31"),
    ],
)
def test_numbers_that_do_not_fit_are_named(name, value, words):
    layer, _ = on_the_grid(0)
    with torch.no_grad():
        layer.get_parameter(name).view(-1)[1] = value
    with pytest.raises(ValueError, match=words):
        fp.from_fq_bmru(layer, 6, input_bits=3)


def test_what_cannot_be_exported_says_so():
    layer, head = on_the_grid(0)
    for other in (nn.BMRU(3, 4), nn.SRC(3, 4), np.ones((3, 5)), None):
        with pytest.raises(TypeError, match=r"layer must be an nn\.FQBMRU, got"):
            fp.from_fq_bmru(other, 6, input_bits=3)
    with pytest.raises(TypeError, match=r"read_out must be a torch\.nn\.Linear, got list"):
        fp.from_fq_bmru(layer, 6, input_bits=3, read_out=[1])
    with pytest.raises(ValueError, match=r"read_out must have 12 inputs, .* got 9"):
        fp.from_fq_bmru(layer, 6, input_bits=3, read_out=torch.nn.Linear(9, 2))
    with pytest.raises(ValueError, match=r"fraction_bits must be one number, or 3, .* got 2"):
        fp.from_fq_bmru(layer, [6, 6], input_bits=3, read_out=head)
    with pytest.raises(ValueError, match=r"fraction_bits must be in \[0, 30\], got 31"):
        fp.from_fq_bmru(layer, 31, input_bits=3)
    with pytest.raises(ValueError, match="input_step must be finite, got nan"):
        fp.from_fq_bmru(layer, 6, input_bits=3, input_step=float("nan"))


def test_a_network_without_weights_is_refused():
    """Where rounding has left none; zeros that were trained are."""
    layer, head = nn.FQBMRU(3, 4, 2), torch.nn.Linear(4, 2)
    for weight in (layer.weight_ih_l0, layer.weight_ih_l1, head.weight):
        torch.nn.init.uniform_(weight, 0.3, 0.4)
    for alpha in (layer.alpha_l0, layer.alpha_l1):
        torch.nn.init.ones_(alpha)
    for k, name in enumerate(("weight_ih_l0", "weight_ih_l1", "read_out.weight")):
        bits = [0 if i == k else 9 for i in range(3)]
        with pytest.raises(ValueError, match=f"must leave some of {name}, of 0.[34]\\d* at most"):
            fp.from_fq_bmru(layer, bits, input_bits=3, read_out=head)
    with pytest.raises(ValueError, match="input_step must not be 0"):
        fp.from_fq_bmru(layer, 6, input_bits=3, input_step=0.0)
    torch.nn.init.zeros_(head.weight)
    assert not fp.from_fq_bmru(layer, [9, 9, 0], input_bits=3, read_out=head).read_out.weights.any()


def test_no_sum_needs_more_bits_than_it_is_said_to():
    """The largest inputs reach the widths; one bit more is refused."""
    weights, bias = np.array([[100, -3], [-100, 2]]), np.array([27, -28])
    layer = fp.HysteresisLayer(weights, bias, np.array([1, 1]), np.array([2, 2]))
    assert fp.HysteresisNetwork([layer], input_bits=1).sum_bits == (8,)  # -128 ... 127
    wider = fp.HysteresisLayer(weights, bias - [0, 1], np.array([1, 1]), np.array([2, 2]))
    assert fp.HysteresisNetwork([wider], input_bits=1).sum_bits == (9,)
    most = np.array([[2**31 - 1]])
    zero = np.array([0])
    full = fp.HysteresisLayer(most, zero, zero, zero)
    assert fp.HysteresisNetwork([full], input_bits=1).sum_bits == (32,)
    states = fp.HysteresisNetwork([full], input_bits=1).states(np.ones((1, 1, 1), np.uint8))
    assert states.layers[0].u.tolist() == [[2**31 - 1]]
    beyond = fp.HysteresisLayer(most, np.array([1]), zero, zero)
    with pytest.raises(ValueError, match=r"layers\[0\] must have sums of 32 bits .* can take 33"):
        fp.HysteresisNetwork([beyond], input_bits=1)
    with pytest.raises(ValueError, match=r"layers\[0\] must have sums of 32 bits .* can take 34"):
        fp.HysteresisNetwork([full], input_bits=2)


def test_bad_arguments_are_named():
    one, zero = np.ones((2, 3), np.int64), np.zeros(2, np.int64)
    layer = fp.HysteresisLayer(one, zero, zero, zero)
    for arguments, words in (
        ((one * 0.5, zero, zero, zero), "weights must hold integers, got float64"),
        ((one, zero[:1], zero, zero), r"bias must have shape \(2,\), one of the units, got \(1,\)"),
        ((one, zero, zero - 1, zero), "low must be in .* got -1"),
        ((one, zero, zero + 5, zero + [5, 4]), "got low 5 and high 4 in unit 1"),
        ((one, zero, zero, zero, zero), "initial must be bool, got int64"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            fp.HysteresisLayer(*arguments)
    for arguments, words in (
        (([],), "layers must hold at least one layer"),
        ((layer,), "layers must be a list of HysteresisLayer, got HysteresisLayer"),
        (([one],), r"layers\[0\] must be HysteresisLayer, got ndarray"),
        (([layer, layer],), r"layers\[1\]\.weights must have shape \(2, 2\), .* got \(2, 3\)"),
        (([layer], layer), "read_out must be ReadOut, got HysteresisLayer"),
        (([layer], fp.ReadOut(one, zero)), r"read_out\.weights must have shape \(2, 2\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            fp.HysteresisNetwork(*arguments, input_bits=3)
    with pytest.raises(ValueError, match=r"input_bits must be in \[1, 16\], got 17"):
        fp.HysteresisNetwork([layer], input_bits=17)
    network = fp.HysteresisNetwork([layer], input_bits=3)
    for x, words in (
        (np.full((1, 1, 3), 8), r"x must be in \[0, 7\], got 8"),
        (np.full((1, 1, 3), -1), r"x must be in \[0, 7\], got -1"),
        (np.zeros((1, 1, 3)), "x must hold integers, got float64"),
        (np.zeros((1, 1, 4), int), r"x must have shape \(N, T, 3\), got \(1, 1, 4\)"),
        (np.zeros((1, 3), int), r"x must have shape \(N, T, 3\), got \(1, 3\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            network.run(x)
    with pytest.raises(ValueError, match="x must hold at least one sequence"):
        network.states(np.zeros((0, 4, 3), int))
    with pytest.raises(ValueError, match="the network has no read-out"):
        _ = network.run(np.zeros((1, 2, 3), int)).labels


def test_states_are_inputs():
    """A stack is its layers, one after the other; and nothing of a sequence reaches the next."""
    rng = np.random.default_rng(0)
    whole = random_network(rng, (5, 12, 9), 20, input_bits=4)
    first, second = (
        fp.HysteresisNetwork([layer], input_bits=bits)
        for layer, bits in zip(whole.layers, (4, 1), strict=True)
    )
    x = rng.integers(0, 16, (3, 40, 5))
    found = whole.run(x).states
    assert np.array_equal(second.run(first.run(x).states).states, found)
    assert np.array_equal(whole.run(x[2:]).states, found[2:])


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (0, 0, 3)])
def test_nothing_gives_nothing(shape):
    network = random_network(np.random.default_rng(0), (3, 4), 5, input_bits=2, classes=2)
    found = network.run(np.zeros(shape, np.uint8))
    assert found.states.shape == (*shape[:2], 4)
    assert found.values.shape == (*shape[:2], 2)
    assert found.labels.shape == shape[:2]
