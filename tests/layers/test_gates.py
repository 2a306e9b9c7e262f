"""What a layer says of its units' updates is what they do."""

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.cell import surrogate
from lrnn_kernels.nn.gates import Drifting, Gated
from tests.layers.cases import LAYERS, assert_same, make

T, B = 40, 3
GATED = [name for name, (cls, _) in LAYERS.items() if issubclass(cls, Gated)]
DRIFTING = [name for name, (cls, _) in LAYERS.items() if issubclass(cls, Drifting)]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", GATED)
def test_a_unit_moves_where_its_gate_is_open(name, bidirectional):
    """And nowhere else: its state is what it was, to the bit."""
    layer = make(name, 5, 4, bidirectional=bidirectional)
    x = torch.randn(T, B, 5, dtype=torch.float64)
    out, (z,) = layer(x)[0], layer.gates(x)
    assert z.shape == out.shape
    assert 0.02 < z.mean() < 0.98
    assert z.unique().tolist() == [0.0, 1.0]
    H = layer.hidden_size
    parts = [(out[..., :H], z[..., :H])]
    if bidirectional:
        parts.append((out[..., H:].flip(0), z[..., H:].flip(0)))
    for h, gate in parts:
        held = gate[1:] == 0
        assert torch.equal(h[1:][held], h[:-1][held])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", DRIFTING)
def test_the_drift_is_the_difference_of_states(name, batch_first):
    layer = make(name, 5, 4, 2, batch_first=batch_first)
    x = torch.randn((B, T, 5) if batch_first else (T, B, 5), dtype=torch.float64)
    out, (_, top) = layer(x)[0], layer.drift(x)
    assert top.shape == out.shape
    time = 1 if batch_first else 0
    assert_same(out.diff(dim=time), top.narrow(time, 1, T - 1))


def test_every_layer_of_a_stack_in_the_order_of_the_call():
    layer = make("BMRU", 5, 4, 3)
    x = torch.randn(T, B, 5, dtype=torch.float64)
    reset = torch.rand(T, B) < 0.2
    found = layer.gates(x, None, reset)
    assert len(found) == 3
    alone = layer.gates(x[:, 0], None, reset[:, 0])
    assert_same(alone, tuple(z[:, 0] for z in found))
    assert not torch.equal(found[1], layer.gates(x)[1])  # the resets below are seen above


@pytest.mark.parametrize("name", GATED)
def test_the_rate_has_the_surrogates_gradient(name):
    """Of the pre-activations, by hand: kappa of how far each is from its threshold."""
    layer = make(name, 5, 4)
    x = torch.randn(T, B, 5, dtype=torch.float64)
    (bias,) = torch.autograd.grad(layer.gates(x)[0].sum(), layer.bias_ih_l0)
    drive = (x @ layer.weight_ih_l0.T + layer.bias_ih_l0).detach()
    if isinstance(layer, nn.FQBMRU):
        u, (lo, hi, _) = drive.relu(), layer._scan_params(layer._parameters_of(0, False))
        by_lo, by_hi = surrogate(lo - u, layer.width), surrogate(u - hi, layer.width)
        expected = ((u < hi) * -by_lo + (u > lo) * by_hi) * (drive > 0)
    else:
        c, beta = drive.chunk(2 if drive.shape[-1] == 8 else 3, -1)[:2]
        kappa = surrogate(c.abs() - beta.abs(), layer.width)
        rest = [torch.zeros_like(c)] * (drive.shape[-1] // 4 - 2)
        expected = torch.cat([kappa * c.sign(), -kappa * beta.sign(), *rest], -1)
    assert_same(bias, expected.sum((0, 1)))


def test_a_cmru_becomes_the_bmru_of_its_parameters():
    cmru = nn.CMRU(5, 4, 2, bidirectional=True, beta_init=(0.5, 2.0), dropout=0.5).eval()
    bmru = cmru.bmru()
    x = torch.randn(T, B, 5)
    assert isinstance(bmru, nn.BMRU)
    assert not bmru.training
    assert_same(bmru(x), cmru(x), rtol=0, atol=0)
    schedule = nn.EpsAnneal(bmru, hold=0, decay=0)
    assert schedule.done
    assert bmru.eps == 0.0
    half = nn.CMRU(5, 4).to(torch.float64).bmru(eps=0.5)
    assert half.eps == 0.5
    assert half.alpha_l0.dtype == torch.float64
