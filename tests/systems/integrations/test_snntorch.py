"""A leaky integrator of snnTorch without a reset is a linear scan, gradients included."""

import pytest
import snntorch
import torch

from lrnn_kernels import linear_scan, linear_scan_step, nn


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
