"""The end of a sequence alone: the same numbers as of the whole, in the memory of a piece; and
inputs that do not change."""

import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from lrnn_kernels import nn
from lrnn_kernels.nn import final
from tests import ROOT
from tests.layers.cases import assert_same, every_layer, flat, gradients, make, random_state

T, B = 23, 3


def ends(out: torch.Tensor, layer, time: int) -> torch.Tensor:
    """Of each direction after its last step."""
    H = layer.hidden_size
    first, last = out.select(time, 0), out.select(time, -1)
    return torch.cat([last[..., :H], first[..., H:]], -1) if layer.bidirectional else last


@every_layer
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_end_is_that_of_the_whole(name, bidirectional, batch_first, monkeypatch):
    """In pieces of 4 steps without gradients, at once with them; with states and resets."""
    monkeypatch.setattr(final, "FEWEST_STEPS", 4)
    monkeypatch.setattr(final, "PIECE_BYTES", 0)
    layer = make(name, 5, 4, 2, batch_first=batch_first, bidirectional=bidirectional)
    x = torch.randn((B, T, 5) if batch_first else (T, B, 5), dtype=torch.float64)
    h_0, reset = random_state(layer, B), torch.rand(x.shape[:2]) < 0.2
    time = 1 if batch_first else 0
    for given in ((), (h_0,), (None, reset), (h_0, reset)):
        out, h_n = layer(x, *given)
        expected = (ends(out, layer, time), h_n)
        got = layer(x, *given, return_sequence=False)
        assert_same(flat(got), flat(expected))
        weights = list(layer.parameters())
        assert_same(gradients(got, weights), gradients(expected, weights))
        with torch.no_grad():
            assert_same(flat(layer(x, *given, return_sequence=False)), flat(expected))
    with torch.no_grad():
        one = layer(x.select(1 - time, 0), return_sequence=False)
        assert_same(one[0], layer(x, return_sequence=False)[0][0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_end_each_by_itself(bidirectional):
    layer = make("MinGRU", 5, 4, 2, bidirectional=bidirectional)
    xs = [torch.randn(n, 5, dtype=torch.float64) for n in (3, 7, 5)]
    out, h_n = layer(pack_sequence(xs, enforce_sorted=False), return_sequence=False)
    for i, x in enumerate(xs):
        alone, last = layer(x, return_sequence=False)
        assert_same((out[i], h_n[:, i]), (alone, last))


def test_an_empty_sequence_has_no_end():
    with pytest.raises(ValueError, match=r"x must have at least one step to end with, got shape"):
        nn.BMRU(5, 4)(torch.ones(0, 2, 5), return_sequence=False)


def test_memory_is_that_of_a_piece():
    """2^18 steps of 256 units are 256 MiB of outputs, and as much again of drives."""
    script = """
import resource, torch
from lrnn_kernels import nn
layer = nn.CMRU(2, 256)
x = torch.randn(1, 1, 2).expand(2**18, 1, 2)
with torch.no_grad():
    layer(x[:4096], return_sequence=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layer(x, return_sequence=False)
    layer(x.contiguous(), return_sequence=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 << 10  # KiB


@every_layer
@pytest.mark.parametrize("constant", ["steps", "sequences", "both"])
def test_an_input_that_does_not_change_is_multiplied_once(name, constant, monkeypatch):
    """As expand makes it: the same results and gradients, and rows of the product."""
    layer = make(name, 5, 4, 2)
    shape = {"steps": (1, B, 5), "sequences": (T, 1, 5), "both": (1, 1, 5)}[constant]
    x = torch.randn(shape, dtype=torch.float64).expand(T, B, 5)
    rows = []
    drive = type(layer)._drive

    def counted(self, x, p):
        rows.append(x.shape[:2].numel())
        return drive(self, x, p)

    monkeypatch.setattr(type(layer), "_drive", counted)
    weights = list(layer.parameters())
    got, expected = layer(x), layer(x.contiguous())
    assert rows == [shape[0] * shape[1], T * B, T * B, T * B]
    assert_same(flat(got), flat(expected))
    assert_same(gradients(got, weights), gradients(expected, weights))


def test_an_expanded_input_gets_its_gradient():
    layer = make("LRU", 5, 4)
    row = torch.randn(1, B, 5, dtype=torch.float64, requires_grad=True)
    got = gradients(layer(row.expand(T, B, 5)), [row])
    dense = row.detach().expand(T, B, 5).contiguous().requires_grad_()
    assert_same(got[0], gradients(layer(dense), [dense])[0].sum(0, keepdim=True))


@pytest.mark.parametrize("wrong", ["x", "type", "reset", "T"])
def test_errors_are_those_of_a_call(wrong):
    layer, x = nn.CMRU(5, 4), torch.randn(500, B, 5)
    call = {
        "x": lambda: layer(x[..., :4], return_sequence=False),
        "type": lambda: layer(x.numpy(), return_sequence=False),
        "reset": lambda: layer(x, None, torch.ones(B, 500) > 0, return_sequence=False),
        "T": lambda: layer(x[None], return_sequence=False),
    }[wrong]
    with torch.no_grad(), pytest.raises((ValueError, TypeError), match=r"^(x|reset) must"):
        call()


@pytest.mark.parametrize("grad", [False, True])
def test_a_hook_sees_one_call(grad, monkeypatch):
    """However many pieces there are."""
    monkeypatch.setattr(final, "FEWEST_STEPS", 4)
    monkeypatch.setattr(final, "PIECE_BYTES", 0)
    for layer in (nn.CMRU(5, 4), nn.Stack(nn.CMRU(5, 4))):
        seen = []
        layer.register_forward_hook(lambda _, args, out, seen=seen: seen.append(out[0].shape))
        with torch.set_grad_enabled(grad):
            layer(torch.randn(T, B, 5), return_sequence=False)
        assert seen == [(B, 4)]


def test_the_end_keeps_no_sequence_alive():
    """A CMRU's backward pass reads no state: with gradients, too, its outputs are given back."""
    out, _ = nn.CMRU(5, 4)(torch.randn(500, B, 5), return_sequence=False)
    assert out.untyped_storage().nbytes() == out.numel() * out.element_size()
    assert out.requires_grad
