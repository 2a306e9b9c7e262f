"""What the layers of the step family promise beyond the rest: three states, spikes, a limited
bias, two stable states."""

import math

import pytest
import torch

import lrnn_kernels
from lrnn_kernels import nn
from tests.layers.cases import assert_same, gradients, make

SRCS = pytest.mark.parametrize("name", ["SRC", "SRC-full", "SRC-spikes"])


@SRCS
def test_the_spiking_cases_are_neither_silent_nor_stuck(name):
    """The comparisons of these layers with a loop would otherwise compare constants."""
    out, _ = make(name, 5, 4, 2)(torch.randn(6, 3, 5, dtype=torch.float64))
    assert 0.1 < (out > 0).double().mean() < 0.9


@SRCS
def test_states_are_the_triple_of_the_operator(name):
    layer = make(name, 5, 4)
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    out, h_n = layer(x)
    assert isinstance(h_n, tuple)
    drive = (x @ layer.weight_ih_l0.T).transpose(0, 1)
    bias = layer.bias_l0 if layer.max_bias is None else layer.bias_l0.clamp(max=layer.max_bias)
    start = None if layer.initial_state == "zero" else layer.h0_l0.expand(3, -1).chunk(3, -1)
    y, states = lrnn_kernels.src(drive, bias, state=start, **layer.options)
    assert_same((out, h_n), (y.transpose(0, 1), tuple(h[None] for h in states)))


def test_a_list_of_states_does_and_other_forms_are_refused():
    layer, x = nn.SRC(5, 8), torch.randn(6, 3, 5)
    state = [torch.randn(1, 3, 8) for _ in range(3)]
    assert_same(layer(x, state), layer(x, tuple(state)), rtol=0, atol=0)
    with pytest.raises(
        TypeError, match=r"h_0 must be a tuple of 3 tensors \(i, h, h_s\), got Tensor"
    ):
        layer(x, state[0])
    with pytest.raises(ValueError, match=r"h_0 must be a tuple of 3 tensors \(i, h, h_s\), got 2"):
        layer(x, state[:2])
    with pytest.raises(TypeError, match="state h must be a tensor, got NoneType"):
        layer.step(x[0], (state[0], None, state[2]))


def test_states_after_packed_16_bit_sequences_are_not_rounded():
    layer = nn.SRC(5, 8).bfloat16()
    xs = [torch.randn(n, 5, dtype=torch.bfloat16) for n in (3, 7, 5)]
    _, h_n = layer(torch.nn.utils.rnn.pack_sequence(xs, enforce_sorted=False))
    alone = [layer(x[:, None])[1] for x in xs]
    for got, *expected in zip(h_n, *alone, strict=True):
        assert_same(
            got, torch.cat(expected, 1), rtol=1e-6, atol=1e-6
        )  # the GEMMs of other shapes may round otherwise
    assert h_n[0].dtype == torch.float32


def test_the_bias_is_the_papers_and_no_part_of_the_gemm():
    assert (nn.SRC(5, 8).bias_l0 == -6).all()
    out, h_n = nn.SRC(5, 8)(torch.zeros(2000, 1, 5))
    assert (out == 0).all()
    assert (h_n[0] == 0).all()  # no drive: the bias is not integrated


def test_without_a_learned_bias_the_neurons_have_the_initial_one():
    torch.manual_seed(0)
    fixed, learned = nn.SRC(5, 8, bias=False), nn.SRC(5, 8)
    assert list(fixed.state_dict()) == ["weight_ih_l0"]
    learned.load_state_dict({**fixed.state_dict(), "bias_l0": learned.bias_l0})
    x = torch.randn(50, 3, 5)
    assert_same(fixed(x), learned(x), rtol=0, atol=0)


def test_a_bias_acts_up_to_its_limit_and_learns_beyond():
    layer = nn.SRC(5, 4, dtype=torch.float64)
    at_limit = nn.SRC(5, 4, dtype=torch.float64)
    at_limit.load_state_dict(layer.state_dict())
    with torch.no_grad():
        layer.bias_l0.copy_(torch.tensor([-5.0, -4.0, -3.0, 2.0]))
        at_limit.bias_l0.copy_(torch.tensor([-5.0, -4.0, -4.0, -4.0]))
    x = torch.randn(60, 3, 5, dtype=torch.float64)
    assert_same(layer(x), at_limit(x), rtol=0, atol=0)
    assert_same(
        *(gradients(rnn(x), list(rnn.parameters())) for rnn in (layer, at_limit)), rtol=0, atol=0
    )

    optimizer = torch.optim.SGD([layer.bias_l0], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        layer(x)[1][1].add(1).square().sum().backward()  # asks for h = -1: away from spikes
        layer.bias_l0.grad.div_(layer.bias_l0.grad.abs().clamp(min=1e-30))
        optimizer.step()
    assert (layer.bias_l0 < -4).all()


def test_the_limit_is_met_exactly():
    layer = nn.SRC(5, 200, max_bias=0.1)
    torch.nn.init.uniform_(layer.bias_l0, 0.1, 1e9)
    (bias,) = layer._scan_params({"bias": layer.bias_l0})
    assert (bias == torch.tensor(0.1)).all()
    (gradient,) = torch.autograd.grad(bias.sum(), layer.bias_l0)
    assert (gradient == 1).all()


def test_no_limit_and_other_limits():
    x = torch.zeros(60, 1, 5)
    for limit, spikes in ((-4.0, True), (-6.0, False), (None, True)):
        layer = nn.SRC(5, 4, max_bias=limit)
        torch.nn.init.constant_(layer.bias_l0, -3.0)
        assert bool((layer(x)[0] > 0.5).any()) is spikes
    with pytest.raises(TypeError, match="max_bias must be a number, got str"):
        nn.SRC(5, 4, max_bias="none")


@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid", "triangle"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_spikes_are_zeros_and_ones_through_a_stack(surrogate, dtype):
    torch.manual_seed(0)
    layer = nn.SRC(32, 48, 3, threshold=0.5, surrogate=surrogate, width=0.5).to(dtype)
    x = torch.bernoulli(torch.full((150, 4, 32), 0.2)).to(dtype)
    below = nn.SRC(32, 48, 2, threshold=0.5).to(dtype)
    below.load_state_dict({k: v for k, v in layer.state_dict().items() if "_l2" not in k})
    for out in (layer(x)[0], below(x)[0]):
        assert set(out.unique().tolist()) == {0.0, 1.0}
    layer(x)[0].float().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_spikes_are_where_the_analogue_output_crosses():
    layer = nn.SRC(8, 16)
    spiking = nn.SRC(8, 16, threshold=0.5)
    spiking.load_state_dict(layer.state_dict())
    x = torch.bernoulli(torch.full((200, 4, 8), 0.2))
    assert torch.equal(spiking(x)[0], (layer(x)[0] > 0.5).float())


def test_memory_of_checkpoints_gives_the_same_gradients():
    x = torch.bernoulli(torch.full((100, 2, 8), 0.3))
    grads = []
    for memory in ("states", "checkpoint", 7):
        torch.manual_seed(0)
        layer = nn.SRC(8, 16, gradient="full", memory=memory)
        grads.append(torch.autograd.grad(layer(x)[0].sum(), [layer.weight_ih_l0, layer.bias_l0]))
    for weight, bias in grads[1:]:
        assert torch.equal(weight, grads[0][0])
        assert torch.equal(bias, grads[0][1])


def test_activity_passes_through_freshly_drawn_layers():
    torch.manual_seed(0)
    weight = nn.SRC(100, 1000).weight_ih_l0
    n = weight.numel()
    assert abs(weight.mean()) < 4 * 0.2 / math.sqrt(n)  # four standard errors, here and below
    assert abs(weight.var() - 0.04) < 4 * 0.04 * math.sqrt(2 / n)
    x = torch.bernoulli(0.25 * torch.rand(200, 8, 64))
    for layers in (1, 2, 3):
        rate = (nn.SRC(64, 256, layers)(x)[0] > 0.5).float().mean()
        assert (
            0.01 < rate < 0.1
        )  # a neuron that fires as fast as it can, for two steps in twenty, is at 0.1


def test_the_options_of_a_spiking_layer_are_checked_and_shown():
    assert repr(nn.SRC(5, 8, threshold=0.5, memory=16)) == (
        "SRC(5, 8, initial_state='zero', gradient='detached', max_bias=-4.0, threshold=0.5, "
        "memory=16)"
    )
    with pytest.raises(ValueError, match="gradient must be one of 'detached', 'full', got 'half'"):
        nn.SRC(5, 8, gradient="half")
    with pytest.raises(ValueError, match="surrogate must be one of"):
        nn.SRC(5, 8, surrogate="relu")


@pytest.mark.parametrize("cls", [nn.BRC, nn.NBRC])
def test_brc_parameters_are_drawn_per_matrix(cls):
    torch.manual_seed(0)
    layer = cls(100, 300)
    matrices = [*layer.weight_ih_l0.chunk(3)] + (
        [layer.w_a_l0, layer.w_c_l0] if cls is nn.NBRC else []
    )
    for matrix in matrices:
        bound = math.sqrt(6 / sum(matrix.shape))  # Glorot's
        assert 0.99 * bound < matrix.abs().max() <= bound
        assert abs(matrix.var() / (bound**2 / 3) - 1) < 0.05
    assert (layer.bias_ih_l0 == 0).all()
    if cls is nn.BRC:
        assert (layer.w_a_l0 == 1).all()
        assert (layer.w_c_l0 == 1).all()


def test_an_nbrc_whose_matrices_are_diagonal_is_a_brc():
    layer, other = (
        make("NBRC", 5, 4, 2, bidirectional=True),
        make("BRC", 5, 4, 2, bidirectional=True),
    )
    weights = {
        name: torch.diag(w) if name.startswith("w_") else w
        for name, w in other.state_dict().items()
    }
    layer.load_state_dict(weights)
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    assert_same(layer(x), other(x))


@pytest.mark.parametrize("cls", [nn.BRC, nn.NBRC])
@pytest.mark.parametrize(("bias", "stable"), [(3.0, True), (-4.0, False)])
def test_a_brc_holds_two_states_where_a_exceeds_one_and_forgets_below(cls, bias, stable):
    torch.manual_seed(0)
    layer = cls(5, 4)
    with torch.no_grad():
        layer.bias_ih_l0[:4] = bias  # b_a: a = 1 + tanh(b_a + h), or W_a h in place of h
    start = torch.full((1, 1, 4), 0.5)
    (high, _), (low, _) = (layer(torch.zeros(300, 1, 5), h_0) for h_0 in (start, -start))
    apart = (high - low)[-1].abs()
    assert (apart > 1.0).all() if stable else (apart < 1e-3).all()
