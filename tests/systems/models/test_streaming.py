"""Steps, pieces, episodes and padding: each gives what whole sequences, each alone, give."""

import pytest
import torch

from lrnn_kernels.models import Backbone, BackboneConfig, Layer
from tests.layers.cases import assert_same, flat
from tests.systems.models.cases import every_cell, every_head, make, resets, sequence

#: float64, products of other shapes: the last bits differ.
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def _stream(network, x, reset=None, states=None):
    outs = []
    for t in range(x.shape[1]):
        out, states = network.step(x[:, t], states, None if reset is None else reset[:, t])
        outs.append(out)
    return torch.stack(outs, 1), states


def _same_states(got, expected):
    got, expected = ([h for h in flat_of(s)] for s in (got, expected))
    for a, b in zip(got, expected, strict=True):
        assert_same(a, b, **CLOSE)


def flat_of(states):
    position, windows, cells, total = states
    return [position, *windows, *flat(cells), *([] if total is None else [total])]


@every_cell
@pytest.mark.parametrize("with_reset", [False, True])
def test_steps_are_the_sequence(cell, with_reset):
    network = make(cell, head="steps")
    x, reset = sequence(network, 3, 9), resets(3, 9) if with_reset else None
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            expected, states = network(x, None, reset)
            out, last = _stream(network, x, reset)
        assert_same(out, expected, **CLOSE)
        _same_states(last, states)


@every_head
def test_steps_of_every_head(head):
    network = make("hybrid", head=head)
    x, reset = sequence(network, 3, 8), resets(3, 8)
    out, states = _stream(network, x, reset)
    expected, last = network(x, None, reset)
    assert_same(out if head in ("steps", "tokens") else out[:, -1], expected, **CLOSE)
    _same_states(states, last)


@every_cell
@pytest.mark.parametrize("cuts", [(1,), (2, 4), (3, 3, 9)], ids=str)
def test_pieces_are_the_whole(cell, cuts):
    """Pieces shorter than the convolution's window, and an empty one, too; a piece without episodes
    needs no mask."""
    network = make(cell, head="steps", conv=4)
    x, reset = sequence(network, 3, 10), resets(3, 10)
    reset[:, 5:7] = False
    reset[1, 4] = True
    expected, last = network(x, None, reset)
    states, outs = None, []
    cuts = sorted(set(cuts)) if cell == "factory" else cuts  # torch's GRU takes no empty piece
    for start, stop in zip((0, *cuts), (*cuts, 10), strict=True):
        out, states = network(x[:, start:stop], states, reset[:, start:stop])
        outs.append(out)
    assert_same(torch.cat(outs, 1), expected, **CLOSE)
    _same_states(states, last)
    half, states = network(x[:, :5], None, reset[:, :5])
    more, states = network(x[:, 5:7], states)
    rest, states = _stream(network, x[:, 7:], reset[:, 7:], states)
    assert_same(torch.cat([half, more, rest], 1), expected, **CLOSE)
    _same_states(states, last)


@every_head
@pytest.mark.parametrize("with_reset", [False, True])
def test_pieces_of_every_head(head, with_reset):
    """The last piece tells what the whole does: a mean goes over all of them."""
    network = make("stack", head=head)
    x, reset = sequence(network, 4, 10), resets(4, 10) if with_reset else None
    expected, last = network(x, None, reset)
    states = None
    for start, stop in ((0, 4), (4, 5), (5, 10)):
        mask = None if reset is None else reset[:, start:stop]
        out, states = network(x[:, start:stop], states, mask)
    assert_same(out, expected[:, 5:] if head in ("steps", "tokens") else expected, **CLOSE)
    _same_states(states, last)


@every_cell
@every_head
def test_an_episode_is_a_sequence_of_its_own(cell, head):
    network = make(cell, head=head)
    x, reset = sequence(network, 1, 11), torch.zeros(1, 11, dtype=torch.bool)
    starts = (0, 1, 2, 7)
    reset[:, starts[1:]] = True
    out, states = network(x, None, reset)
    alone = [
        network(x[:, start:stop]) for start, stop in zip(starts, (*starts[1:], 11), strict=True)
    ]
    each = torch.cat([y for y, _ in alone], 1) if head in ("steps", "tokens") else alone[-1][0]
    assert_same(out, each, **CLOSE)
    _same_states(states, alone[-1][1])


@every_head
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("with_reset", [False, True])
def test_padding_is_as_if_it_were_not(head, bidirectional, with_reset):
    cell = (Layer("LRU", 4, bidirectional=bidirectional), Layer("BMRU", 3))
    torch.manual_seed(0)
    config = BackboneConfig(3, 2, cell, width=4, conv=3, positions=4, head=head, dropout=0.0)
    network = Backbone(config, dtype=torch.float64)
    x, reset = sequence(network, 4, 9), resets(4, 9) if with_reset else None
    lengths = torch.tensor([9, 1, 4, 8])
    if head != "tokens":
        for b, n in enumerate(lengths):
            x[b, n:] = torch.nan
    out, _ = network(x, None, reset, lengths=lengths)
    for b, n in enumerate(lengths):
        mask = None if reset is None else reset[b : b + 1, :n]
        alone, _ = network(x[b : b + 1, :n], None, mask)
        got = out[b : b + 1, :n] if head in ("steps", "tokens") else out[b : b + 1]
        assert_same(got, alone, **CLOSE)


@every_head
def test_lengths_are_what_pack_padded_sequence_takes(head):
    """A list, a tuple, or a tensor of any integer type."""
    cell = (Layer("LRU", 4, bidirectional=True), "MinGRU")
    network = Backbone(BackboneConfig(3, 2, cell, width=4, head=head, dropout=0.0))
    x = sequence(network, 4, 9)
    x, lengths = x if head == "tokens" else x.float(), [9, 1, 4, 8]
    expected, _ = network(x, lengths=torch.tensor(lengths))
    for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8):
        assert torch.equal(network(x, lengths=torch.tensor(lengths, dtype=dtype))[0], expected)
    for given in (lengths, tuple(lengths)):
        assert torch.equal(network(x, lengths=given)[0], expected)


def test_padding_after_pieces():
    """A mean over valid steps goes on where the piece before ended."""
    network = make("MinGRU", head="mean")
    x = sequence(network, 2, 9)
    _, states = network(x[:, :4])
    out, states = network(x[:, 4:], states, lengths=torch.tensor([2, 5]))
    assert_same(out[:1], network(x[:1, :6])[0], **CLOSE)
    assert_same(out[1:], network(x[1:])[0], **CLOSE)
    _same_states(states, network(x)[1])


@every_cell
def test_gradients_pass_from_piece_to_piece(cell):
    network = make(cell, head="mean")
    x, reset = sequence(network, 2, 8), resets(2, 8)
    weights = list(network.parameters())
    whole = torch.autograd.grad(network(x, None, reset)[0].sum(), weights, allow_unused=True)
    _, states = network(x[:, :3], None, reset[:, :3])
    out, _ = network(x[:, 3:], states, reset[:, 3:])
    pieces = torch.autograd.grad(out.sum(), weights, allow_unused=True)
    for a, b in zip(pieces, whole, strict=True):
        assert_same(a, b, rtol=1e-7, atol=1e-9)
