"""The layer in integers is the hardware's network, forward, and learns by the detached rule."""

import copy

import numpy as np
import pytest
import torch

from lrnn_kernels import fixed_point, nn
from lrnn_kernels.fixed_point import reference
from lrnn_kernels.nn.integer_src import LEAK, fire


def _spikes(T: int, B: int, inputs: int, rate: float = 0.2) -> torch.Tensor:
    return torch.rand(T, B, inputs, generator=torch.Generator().manual_seed(1)) < rate


def _layer(*sizes, **options) -> nn.IntegerSRC:
    torch.manual_seed(0)
    return nn.IntegerSRC(*sizes, **options)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("levels", [1, 8, 256])
def test_the_forward_pass_is_the_golden_model_s(layers, levels):
    layer, x = _layer(20, 13, levels, num_layers=layers), _spikes(60, 5, 20)
    with torch.no_grad():
        layer.weight_ih_l0.add_(0.2)  # most currents excite
    spikes = layer(x)
    assert 0.02 < spikes.mean() < 0.9
    network = layer.network(accumulator_bits=32)
    traces = fixed_point.Traces.pack(x.transpose(0, 1).numpy())
    for b in range(5):
        states = network.states(traces, b, backend="reference")
        np.testing.assert_array_equal(states.layers[-1].spike, spikes[:, b].bool().numpy())


def test_the_golden_model_takes_more_neurons_than_one_call_of_it():
    total = torch.full((3, 70_001, 1), 50.0)
    total[:, ::2] = -50.0
    spikes = fire(total, 1.0)
    few = fixed_point.neurons(total=np.array([[50, -50]] * 3)).spike
    np.testing.assert_array_equal(spikes[:, [1, 70_000], 0].bool().numpy(), few)


def _by_hand(x, weights, levels, width, dy):
    """Gradients of weights and x by the rule as it is written, step by step in float64."""
    rounded = [np.rint(np.clip(w, -1, 1) * levels) for w in weights]
    given, kept = x, []
    for w in rounded:
        total = given @ w.T
        T, B, C = total.shape
        states, failure = reference.drive(None, total.reshape(T, B * C).astype(np.int32))
        assert failure is None
        states = fixed_point.States(*states)
        i, h, spike = (s.reshape(T, B, C).astype(float) for s in (states.I, states.h, states.spike))
        kept.append((given, (1 - (h / 1024) ** 2) * (1 - np.tanh(i / width) ** 2) / width))
        given = spike
    dweights = []
    for w, (given, slope) in zip(rounded[::-1], kept[::-1], strict=True):
        carried, du = np.zeros_like(dy[0]), np.zeros_like(dy)
        for t in range(len(dy) - 1, -1, -1):
            carried = LEAK * carried + dy[t] * slope[t]
            du[t] = carried
        dweights.append(levels * np.einsum("tbc,tbi->ci", du, given))
        dy = du @ w
    return dweights[::-1], dy


@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_are_the_detached_rule(batch_first):
    layer = _layer(6, 5, 8, num_layers=2, batch_first=batch_first, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.add_(0.3).clamp_(-1, 1)
    x = _spikes(40, 3, 6, 0.4).double()
    given = (x.transpose(0, 1) if batch_first else x).clone().requires_grad_()
    out = layer(given)
    dy = torch.randn(40, 3, 5, dtype=torch.float64)
    got = torch.autograd.grad(
        out, (*layer.parameters(), given), dy.transpose(0, 1) if batch_first else dy
    )
    weights = [w.detach().numpy() for w in layer.parameters()]
    dweights, dx = _by_hand(x.numpy(), weights, 8, 0.8 * 8, dy.numpy())
    for weight, want, have in zip(weights, dweights, got[:2], strict=True):
        outward = (np.abs(weight) >= 1) & (want * weight < 0)
        np.testing.assert_allclose(have.numpy(), np.where(outward, 0, want), atol=1e-12)
        assert np.abs(want).max() > 1e-3
    dx_got = got[2].transpose(0, 1) if batch_first else got[2]
    np.testing.assert_allclose(dx_got.numpy(), dx, atol=1e-12)


def test_no_gradient_pushes_a_weight_out():
    layer = _layer(2, 1, 10)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([[1.0, -0.9]]))
    x = torch.ones(30, 1, 2)
    layer(x).sum().neg().backward()  # more spikes: larger weights
    assert layer.weight_ih_l0.grad[0, 0] == 0
    assert layer.weight_ih_l0.grad[0, 1] < 0
    layer.zero_grad()
    layer(x).sum().backward()
    assert (layer.weight_ih_l0.grad > 0).all()


def test_it_learns_a_rate_code():
    """Two classes of which other inputs spike: every seed gets there."""
    for seed in range(3):
        torch.manual_seed(seed)
        layer, target = nn.IntegerSRC(16, 10, 8), torch.arange(32) % 2
        rates = torch.where(torch.arange(16) % 2 == target[:, None], 0.4, 0.1)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
        for _ in range(40):
            x = torch.rand(44, 32, 16) < rates
            counts = layer(x).sum(0).unflatten(1, (5, 2)).sum(1)
            loss = torch.nn.functional.cross_entropy(0.3 * counts, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        x = torch.rand(44, 32, 16) < rates
        counts = layer(x).sum(0).unflatten(1, (5, 2)).sum(1)
        assert (counts.argmax(1) == target).float().mean() > 0.9


def test_from_a_layer_in_floating_point():
    torch.manual_seed(0)
    layer = nn.SRC(12, 7, num_layers=2, bias=False, batch_first=True)
    made = nn.IntegerSRC.from_src(layer, 16)
    assert made.batch_first
    for ours, theirs in zip(made.integers(), fixed_point.from_src(layer, 16).weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="one direction"):
        nn.IntegerSRC.from_src(nn.SRC(3, 3, bias=False, bidirectional=True), 8)
    with pytest.raises(TypeError, match=r"nn\.SRC, got GRU"):
        nn.IntegerSRC.from_src(torch.nn.GRU(3, 3), 8)


def test_each_layer_has_its_levels():
    layer, x = _layer(20, 13, [8, 256], num_layers=2), _spikes(60, 5, 20)
    with torch.no_grad():
        layer.weight_ih_l0.add_(0.2)
        layer.weight_ih_l1.add_(0.2)
    for k, levels in enumerate((8, 256)):
        weight = getattr(layer, f"weight_ih_l{k}").detach().clamp(-1, 1).numpy()
        np.testing.assert_array_equal(layer.integers()[k], np.rint(weight * levels))
    spikes = layer(x)
    assert spikes.mean() > 0.02
    states = layer.network(accumulator_bits=32).states(
        fixed_point.Traces.pack(x.transpose(0, 1).numpy()), 1
    )
    np.testing.assert_array_equal(states.layers[-1].spike, spikes[:, 1].bool().numpy())
    spikes.sum().backward()
    assert layer.weight_ih_l0.grad.abs().max() > 0
    assert "levels=(8, 256)" in repr(layer)
    made = nn.IntegerSRC.from_src(nn.SRC(20, 13, num_layers=2, bias=False), [8, 256])
    assert [np.abs(w).max() for w in made.integers()] == [8, 256]


def test_it_is_saved_copied_and_shown():
    layer, x = _layer(4, 3, 8, num_layers=2), _spikes(9, 2, 4)
    again = nn.IntegerSRC(4, 3, 8, num_layers=2)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert "4, 3, levels=8, num_layers=2" in repr(layer)


def test_it_is_one_graph_when_compiled():
    layer, x = _layer(4, 3, 8), _spikes(30, 2, 4, 0.5).float()
    compiled = torch.compile(layer, fullgraph=True)
    assert torch.equal(compiled(x), layer(x))
    (want,) = torch.autograd.grad(layer(x).sum(), layer.weight_ih_l0)
    (got,) = torch.autograd.grad(compiled(x).sum(), layer.weight_ih_l0)
    torch.testing.assert_close(got, want)
    with pytest.raises(RuntimeError, match="spikes, 0 or 1"):
        compiled(0.5 * x)


def test_autocast_leaves_integers_exact():
    """In 16 bits neither the integers nor their sums are."""
    layer, x = _layer(40, 50, 2000), _spikes(200, 8, 40, 0.02).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spikes = layer(x)
    assert spikes.any()
    assert torch.equal(spikes, layer(x))


def test_a_parametrized_weight():
    layer, x = _layer(4, 3, 8), _spikes(30, 2, 4, 0.5)
    want = layer(x)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_ih_l0")
    assert torch.equal(layer(x), want)
    layer(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("shape", [(0, 2, 4), (5, 0, 4), (1, 1, 4)])
def test_nothing_is_no_error(shape):
    layer = _layer(4, 3)
    out = layer(torch.zeros(shape))
    assert out.shape == (*shape[:2], 3)
    out.sum().backward()
    assert torch.equal(layer.weight_ih_l0.grad, torch.zeros(3, 4))


def test_errors_say_what_was_expected():
    layer = _layer(4, 3)
    with pytest.raises(ValueError, match=r"x must have shape \(T,B,4\), got \[5, 4\]"):
        layer(torch.zeros(5, 4))
    with pytest.raises(ValueError, match="spikes, 0 or 1"):
        layer(torch.full((5, 1, 4), 0.5))
    with pytest.raises(ValueError, match="spikes, 0 or 1"):
        layer(torch.full((5, 1, 4), float("nan")))
    with pytest.raises(TypeError, match=r"bool or torch\.float32"):
        layer(torch.zeros(5, 1, 4, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"tensor, got ndarray; torch\.from_numpy\(x\) is"):
        layer(np.zeros((5, 1, 4)))
    with pytest.raises(TypeError, match=r"float32 or float64, got torch\.bfloat16"):
        _layer(4, 3).bfloat16()(torch.zeros(5, 1, 4, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="levels"):
        nn.IntegerSRC(4, 3, 40_000)
    with pytest.raises(ValueError, match="levels"):
        nn.IntegerSRC(4, 3, 0)
    with pytest.raises(
        ValueError, match="levels must be one number, or 2, one for each layer, got"
    ):
        nn.IntegerSRC(4, 3, [8, 8, 8], num_layers=2)
    with pytest.raises(TypeError, match="levels must be an integer, got float"):
        nn.IntegerSRC(4, 3, [8, 0.5], num_layers=2)
    with torch.no_grad():
        layer.weight_ih_l0[0, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        layer(torch.zeros(5, 1, 4))
    loud = _layer(1000, 1, 32_767)
    with torch.no_grad():
        loud.weight_ih_l0.fill_(1.0)
    with pytest.raises(OverflowError, match=r"neuron 0, step 0: I = 32767000"):
        loud(torch.ones(3, 1, 1000))
