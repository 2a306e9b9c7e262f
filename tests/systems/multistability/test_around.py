"""What stands around a warm-up: double layers, chrono initialization, the log of a training; and
what a network must be."""

import warnings

import pytest
import torch

from lrnn_kernels import models, nn
from lrnn_kernels.multistability import Log, chrono_, double, hold, measure, warm_up
from tests import ROOT
from tests.layers.cases import PLAIN

from .cases import seeded

X = torch.randn(7, 5, 3, generator=seeded())


def test_the_readmes_example_runs(capsys):
    """What it says of a warm-up holds for most seeds: where one leads hangs on the last bits, and
    so on the number of threads."""
    section = (ROOT / "docs/multistability.md").read_text()
    example = section.split("```python")[1].split("```")[0]
    reached = []
    for seed in range(3):
        torch.manual_seed(seed)
        names: dict = {}
        exec(compile(example, "multistability.md", "exec"), names)
        assert names["log"].history == [(0, 1 / 32)]
        said, vaa = capsys.readouterr().out.splitlines()
        assert said.startswith("GRU: VAA* ")
        reached.append(float(vaa))
    assert sorted(reached)[1] > 0.5


# Double layers.


@pytest.mark.parametrize("layer", [*PLAIN.values(), torch.nn.LSTM])
def test_a_double_layer_is_two_cells(layer):
    net = double(layer, 3, 8, num_layers=2, batch_first=True, output_size=2)
    assert [type(member) for pair in net.layers for member in pair.layers] == [layer] * 4
    assert [pair.input_size for pair in net.layers] == [3, 8]
    out, states = net(X)
    assert out.shape == (7, 5, 2)
    assert len(states) == 2
    first, _ = net.layers[0].layers[0](X)
    torch.testing.assert_close(net.layers[0](X)[0][..., :4], first)
    assert double(layer, 3, 8)(X)[0].shape == (7, 5, 8)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((nn.Stack, 3, 8), {}, TypeError, "layer must be a class of layers .* got Stack"),
        ((nn.Recurrent, 3, 8), {}, TypeError, "got Recurrent"),
        ((nn.GRU(3, 4), 3, 8), {}, TypeError, "got GRU"),
        ((nn.GRU, 3, 7), {}, ValueError, "hidden_size must be even, for two cells, got 7"),
        ((nn.GRU, 3, 8, 0), {}, ValueError, "num_layers must be at least 1, got 0"),
        ((nn.GRU, 3, 8), {"bidirectional": True}, ValueError, "bidirectional must be left out"),
        ((nn.GRU, 3, 8), {"dropout": 0.1}, ValueError, "dropout must be left out"),
        ((nn.GRU, 3, 8), {"eps": 1.0}, TypeError, "takes no argument 'eps'"),
    ],
)
def test_wrong_double_layers(arguments, options, error, message):
    with pytest.raises(error, match=message):
        double(*arguments, **options)


# Chrono initialization.

#: The rows of the bias, in units of H, whose gate keeps, or writes.
CHRONO = {
    "LSTM": (nn.LSTM, {0: -1, 1: 1}),
    "GRU": (nn.GRU, {1: 1}),
    "GRU, bare candidate": (lambda *a, **k: nn.GRU(*a, candidate_bias=False, **k), {1: 1}),
    "MGU": (nn.MGU, {0: -1}),
    "MinGRU": (nn.MinGRU, {0: -1}),
    "torch LSTM": (torch.nn.LSTM, {0: -1, 1: 1}),
    "torch GRU": (torch.nn.GRU, {1: 1}),
}


@pytest.mark.parametrize("name", CHRONO)
def test_gates_keep_for_as_long_as_asked(name):
    make, gates = CHRONO[name]
    H = 300
    net = make(3, H, num_layers=2, bidirectional=True)
    before = {key: p.detach().clone() for key, p in net.named_parameters()}
    assert chrono_(net, 101, generator=seeded()) is net
    drawn = []
    for key, p in net.named_parameters():
        if not key.startswith("bias"):
            assert torch.equal(p, before[key])
            continue
        for block, (new, old) in enumerate(zip(p.split(H), before[key].split(H), strict=True)):
            if block not in gates:
                assert torch.equal(new, old)
            elif key.startswith("bias_hh"):
                assert not new.any()
            else:
                steps = (gates[block] * new.detach()).exp()  # U
                assert 1 <= steps.min() < 3
                assert 98 < steps.max() < 100.01
                assert abs(steps.mean() - 50.5) < 6
                drawn.append(steps)
    assert len(drawn) == 4 * len(gates)
    assert len({float(steps[0]) for steps in drawn}) == 4  # forget and input gate share theirs


def test_a_memory_is_kept_for_that_long():
    """Without drive, a state of an LSTM falls to 1/e in about U steps."""
    net = nn.LSTM(1, 50)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    chrono_(net, 200, generator=seeded())
    kept = net.bias_ih_l0[50:100].exp()
    c = torch.ones(1, 50, 50)
    _, c = hold(net, (torch.zeros_like(c), c), torch.zeros(1), 60)
    torch.testing.assert_close(c[0, 0], (kept / (1 + kept)) ** 60, rtol=1e-4, atol=1e-6)


def test_chrono_reaches_all_of_a_composition():
    net = nn.Stack(nn.Parallel(nn.LSTM(3, 4), nn.GRU(3, 4)), nn.MinGRU(4, 4))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    chrono_(net, 50, generator=seeded())
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "bias" in name}


@pytest.mark.parametrize("layer", [layer for name, layer in PLAIN.items() if name not in CHRONO])
def test_others_have_no_chrono_initialization(layer):
    net = nn.Stack(nn.GRU(3, 4), layer(4, 4, batch_first=False))
    before = net.layers[0].bias_ih_l0.detach().clone()
    with pytest.raises(TypeError, match=rf"net.layers.1 must be an LSTM.* got {layer.__name__}"):
        chrono_(net, 50)
    assert torch.equal(net.layers[0].bias_ih_l0, before)


@pytest.mark.parametrize(
    ("net", "T_max", "error", "message"),
    [
        (torch.nn.RNN(3, 4), 50, TypeError, "got RNN"),
        (nn.GRU(3, 4, bias=False), 50, ValueError, "net must have biases, got GRU with bias=False"),
        (nn.GRU(3, 4), 1, ValueError, r"T_max must be in \[2, inf\), got 1"),
        (nn.GRU(3, 4), "50", TypeError, "T_max must be a number, got str"),
    ],
)
def test_wrong_chrono(net, T_max, error, message):
    with pytest.raises(error, match=message):
        chrono_(net, T_max)


# The log.


def test_log():
    net = nn.GRU(3, 8)
    log = Log(net, X, every=10, steps=50, draws=2)
    torch.manual_seed(7)
    found = [log(step) for step in range(25)]
    assert torch.equal(torch.rand(3), torch.manual_seed(7) and torch.rand(3))  # nothing was drawn
    assert [step for step, value in enumerate(found) if value is not None] == [0, 10, 20]
    assert log.history == [(step, found[step]) for step in (0, 10, 20)]
    assert found[0] == found[10]  # the same draws of the same network
    assert found[0] == measure(net, X, 50, draws=2, generator=seeded())


def test_wrong_logs():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Log(nn.GRU(3, 8), X, every=0)
    with pytest.raises(TypeError, match="step must be an int, got float"):
        Log(nn.GRU(3, 8), X)(0.5)
    with pytest.raises(TypeError, match="net must be a recurrent layer"):
        Log(torch.nn.Linear(3, 8), X)


# What a network must be, and what is asked of it.

NET = nn.GRU(3, 4)
BACKBONE = models.BackboneConfig(3, 2, "GRU", width=8)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (torch.nn.Linear(3, 4), TypeError, "net must be a recurrent layer .* got Linear"),
        (nn.GRU, TypeError, "net must be a recurrent layer .* got type"),
        (models.Backbone(BACKBONE), TypeError, "net must be a recurrent layer .* got Backbone"),
        (nn.GRU(3, 4, bidirectional=True), ValueError, "one direction, got .* layer, GRU:"),
        (torch.nn.LSTM(3, 4, bidirectional=True), ValueError, "one direction, got .* layer, LSTM:"),
        (
            nn.Stack(NET, nn.Parallel(NET.__class__(4, 2), nn.LRU(4, 1, bidirectional=True))),
            ValueError,
            r"one direction, got .* layer, layers.1.layers.1 \(LRU\):",
        ),
    ],
)
def test_wrong_networks(net, error, message):
    for call in (
        lambda: measure(net, X),
        lambda: warm_up(net, X),
        lambda: hold(net, torch.zeros(1, 5, 4), torch.zeros(3), 2),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_parametrized_layer_of_several():
    net = nn.GRU(3, 4, num_layers=2)
    torch.nn.utils.parametrizations.weight_norm(net, "weight_hh_l1")
    with pytest.raises(ValueError, match=r"GRU of several layers must hold .* called weight_hh_l1"):
        measure(net, X)


def test_hooks_of_several_layers_are_not_those_of_one():
    net, seen = nn.GRU(3, 4, num_layers=2), []
    net.register_forward_hook(lambda *given: seen.append(given))
    net.register_forward_pre_hook(lambda *given: seen.append(given))
    measure(net, X, 10)
    assert not seen


def test_a_parametrized_layer_of_one():
    net = torch.nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0")
    assert measure(net, X, 10) >= 1 / 5


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([X], TypeError, "sequences must be a tensor, .*got list"),
        (X[0], ValueError, r"sequences must have shape \(T, N, 3\), .* got \(5, 3\)"),
        (X[:0], ValueError, r"none of them 0, got \(0, 5, 3\)"),
        (X[:, :0], ValueError, r"none of them 0, got \(7, 0, 3\)"),
        (X[..., :2], ValueError, "sequences must have input_size = 3 channels, got 2"),
        (X.double(), TypeError, "sequences must be of the parameters' dtype, torch.float32, got"),
    ],
)
def test_wrong_sequences(sequences, error, message):
    for function in (measure, warm_up):
        with pytest.raises(error, match=message):
            function(NET, sequences)


def test_one_sequence_of_one_step():
    assert measure(NET, X[:1, :1]) == 1
    net = nn.GRU(3, 4)
    with pytest.warns(UserWarning, match=r"alone: GRU \(no gradient of VAA"):
        assert warm_up(net, X[:1, :1], 3).vaa_star.tolist() == [[1.0]] * 3


@pytest.mark.parametrize("layer", [nn.GRU, nn.BMRU, nn.MinGRU, torch.nn.LSTM])
def test_16_bits(layer):
    net = layer(3, 8, num_layers=2, dtype=torch.bfloat16)
    assert 1 / 5 <= measure(net, X.bfloat16(), 50, generator=seeded()) <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert warm_up(net, X.bfloat16(), 3).vaa_star.isfinite().all()


def test_sequences_drawn_wrong():
    with pytest.raises(TypeError, match="what sequences returns must be a tensor, got NoneType"):
        warm_up(NET, lambda: None)
    with pytest.raises(ValueError, match=r"what sequences returns must have shape \(T, N, 3\)"):
        warm_up(NET, lambda: X[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an int, got float"),
        ({"generator": 3}, TypeError, "generator must be a torch.Generator, got int"),
        ({"eps": 0.0}, ValueError, "eps must be"),
    ],
)
def test_wrong_options(options, error, message):
    for function in (measure, warm_up):
        with pytest.raises(error, match=message):
            function(NET, X, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, "lr must be in"),
        ({"target": 1.5}, ValueError, r"target must be in \[0, 1\], got 1.5"),
        ({"longest": 0}, ValueError, "longest must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"partial": 1}, TypeError, "partial must be a bool, got int"),
    ],
)
def test_wrong_options_of_a_warm_up(options, error, message):
    with pytest.raises(error, match=message):
        warm_up(NET, X, **options)


def test_wrong_draws():
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        measure(NET, X, draws=0)


@pytest.mark.parametrize(
    ("states", "u", "error", "message"),
    [
        (None, X[0, 0], TypeError, "states must be a tensor, got NoneType"),
        (
            torch.zeros(5, 4),
            X[0, 0],
            ValueError,
            r"states must have shape \(1, N, 4\), got \(5, 4\)",
        ),
        (torch.zeros(1, 5, 3), X[0, 0], ValueError, r"states must have shape \(1, 5, 4\), got"),
        (torch.zeros(1, 5, 4), X[0], None, ""),
        (
            torch.zeros(1, 6, 4),
            X[0],
            ValueError,
            r"u must have shape \(3,\) or \(6, 3\), got \(5, 3\)",
        ),
        (torch.zeros(1, 5, 4), 0.0, TypeError, "u must be a tensor, got float"),
        (torch.zeros(1, 5, 4), X[0].double(), TypeError, "u must be of the parameters' dtype"),
    ],
)
def test_wrong_holds(states, u, error, message):
    if error is None:
        hold(NET, states, u, 2)
        return
    with pytest.raises(error, match=message):
        hold(NET, states, u, 2)


def test_wrong_states_of_a_composition():
    net = nn.Stack(NET, nn.LSTM(4, 2))
    h = torch.zeros(1, 5, 4)
    with pytest.raises(TypeError, match=r"states must be a tuple .* each of 2 layers, got Tensor"):
        hold(net, h, X[0, 0], 2)
    with pytest.raises(TypeError, match=r"states\[1\] must be a tuple of 2 tensors"):
        hold(net, (h, torch.zeros(1, 5, 2)), X[0, 0], 2)


def test_states_that_are_not_finite():
    net = nn.GRU(3, 4)
    with torch.no_grad():
        net.bias_ih_l0.fill_(torch.nan)
    for function in (measure, warm_up):
        with pytest.raises(ValueError, match="states must be finite, got NaN"):
            function(net, X)
