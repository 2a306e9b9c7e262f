"""docs/spiking.md: a leaky integrator of snnTorch without a reset is a linear scan, gradients
included; surrogates of one are those of the other; when a neuron spikes first."""

import pytest
import snntorch
import torch

from lrnn_kernels import linear_scan, linear_scan_step, nn
from lrnn_kernels.cells.src import SPIKE_SURROGATES


@pytest.fixture
def given():
    torch.manual_seed(0)
    beta = torch.rand(6, dtype=torch.float64, requires_grad=True)
    x = torch.randn(40, 3, 6, dtype=torch.float64, requires_grad=True)  # (T, B, C)
    return beta, x, torch.zeros(3, 6, dtype=torch.float64)


def _by_snntorch(beta, x, mem):
    leaky = snntorch.Leaky(beta, reset_mechanism="none")
    found = []
    for now in x:
        spikes, mem = leaky(now, mem)
        found.append((spikes, mem))
    return [torch.stack(part) for part in zip(*found, strict=True)]


def test_the_membrane_and_its_gradients(given):
    beta, x, start = given
    spikes, want = _by_snntorch(beta, x, start)
    got, last = linear_scan(beta, x.transpose(0, 1))
    got = got.transpose(0, 1)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(last, want[-1])
    assert torch.equal((got > 1).double(), spikes)
    weight = torch.randn_like(want)
    ours, theirs = (torch.autograd.grad((u * weight).sum(), (beta, x)) for u in (got, want))
    torch.testing.assert_close(ours, theirs)


def test_a_new_sequence_is_a_reset(given):
    """Where snnTorch's loop takes a new membrane, the mask is set."""
    beta, x, start = given
    want = torch.cat([_by_snntorch(beta, piece, start)[1] for piece in x.split([15, 25])])
    reset = torch.zeros(3, 40, dtype=torch.bool)
    reset[:, 15] = True
    got, _ = linear_scan(beta, x.transpose(0, 1), reset=reset)
    torch.testing.assert_close(got.transpose(0, 1), want)


def test_step_by_step(given):
    beta, x, mem = given
    leaky, h = snntorch.Leaky(beta, reset_mechanism="none"), None
    for now in x:
        _, mem = leaky(now, mem)
        _, h = linear_scan_step(beta, now, h)
        torch.testing.assert_close(h, mem)


def test_pieces_of_an_src_are_the_whole():
    """Its state is an argument and a result: nothing is kept in the layer."""
    torch.manual_seed(0)
    layer, x = nn.SRC(4, 8, num_layers=2, threshold=0.5), torch.randn(30, 2, 4)
    with torch.no_grad():
        layer.bias_l0.fill_(-4.0)  # it spikes
        whole, last = layer(x)
        assert 0 < whole.mean() < 1
        state, found = None, []
        for piece in x.split(7):
            out, state = layer(piece, state)
            found.append(out)
    assert torch.equal(torch.cat(found), whole)
    assert all(torch.equal(a, b) for a, b in zip(state, last, strict=True))
    assert torch.equal(layer(x)[0], whole)


@pytest.mark.parametrize(
    ("name", "theirs", "height"),
    [
        ("atan", lambda w: snntorch.surrogate.atan(alpha=2 * w), 1.0),
        ("fast_sigmoid", lambda w: snntorch.surrogate.fast_sigmoid(slope=2 * w), 0.7),
        ("sigmoid", lambda w: snntorch.surrogate.sigmoid(slope=4 * w), 1.0),
    ],
)
def test_surrogates_by_their_width(name, theirs, height):
    v = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(theirs(0.7)(v).sum(), v)
    ours = SPIKE_SURROGATES[name](v.detach(), 0.7)
    torch.testing.assert_close(ours, height * slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("bias", "first"), [(-6.0, 12), (-4.0, 7)])
def test_a_neuron_needs_so_many_steps_from_rest(bias, first):
    layer = nn.SRC(1, 3, num_layers=2, threshold=0.5)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.fill_(bias if name.startswith("bias") else 1000.0)
        below, _ = nn.single.single(layer, 0)(torch.ones(40, 1, 1))
        above, _ = layer(torch.ones(40, 1, 1))
    assert below.any(2).flatten().nonzero()[0] + 1 == first
    assert above.any(2).flatten().nonzero()[0] + 1 == first + 1


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_nan_does_not_spike(backend):
    """docs/limits.md says so."""
    x = torch.zeros(20, 1, 2)
    x[1, 0, 0] = float("nan")
    spikes, (i, h, _) = nn.SRC(2, 3, threshold=0.5, backend=backend)(x)
    assert i.isnan().all()
    assert h.isnan().all()
    assert not spikes.any()
    assert nn.SRC(2, 3, backend=backend)(x)[0][-1].isnan().all()
