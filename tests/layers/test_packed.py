"""Packed sequences: every sequence runs as if it were alone, with torch.nn.GRU's conventions for
order and ends."""

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from tests.layers.cases import (
    assert_same,
    each,
    every_layer,
    flat,
    gradients,
    make,
    plain_layers,
    random_state,
)

LENGTHS = [3, 7, 1, 5]


def sequences(channels=5, lengths=LENGTHS):
    return [torch.randn(n, channels, dtype=torch.float64) for n in lengths]


def assert_equals_separate_runs(layer, xs, h_0=None, reset=None):
    """reset is one mask per sequence."""
    packed = pack_sequence(xs, enforce_sorted=False)
    mask = None
    if reset is not None:
        mask = torch.zeros(len(xs), max(map(len, xs)), dtype=torch.bool)
        for row, one in zip(mask, reset, strict=True):
            row[: len(one)] = one
        mask = mask if layer.batch_first else mask.T
    out, h_n = layer(packed, h_0, mask)
    got = pad_packed_sequence(out, batch_first=True)[0]
    batch = 0 if layer.batch_first else 1
    rows = []
    for i, x in enumerate(xs):
        alone = None if reset is None else reset[i].unsqueeze(batch)
        start = None if h_0 is None else each(lambda h, i=i: h[:, i : i + 1], h_0)
        rows.append(layer(x.unsqueeze(batch), start, alone))
    outputs = [y.flatten(0, 1) for y, _ in rows]
    expected = (
        torch.nn.utils.rnn.pad_sequence(outputs, batch_first=True),
        each(lambda *h: torch.cat(h, 1), *(h for _, h in rows)),
    )
    assert_same((got, h_n), expected)
    tensors = [*layer.parameters()] + ([] if h_0 is None else flat(h_0))
    assert_same(gradients((got, h_n), tensors), gradients(expected, tensors))


@every_layer
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_h_0", [False, True])
def test_packed_sequences_equal_separate_runs(name, bidirectional, batch_first, with_h_0):
    layer = make(name, 5, 4, 2, batch_first=batch_first, bidirectional=bidirectional)
    h_0 = each(Tensor.requires_grad_, random_state(layer, len(LENGTHS))) if with_h_0 else None
    assert_equals_separate_runs(layer, sequences(), h_0)


@every_layer
@pytest.mark.parametrize(
    ("bidirectional", "with_h_0"), [(False, False), (False, True), (True, False)]
)
def test_packed_sequences_with_episodes_inside_equal_separate_runs(name, bidirectional, with_h_0):
    layer = make(name, 5, 4, bidirectional=bidirectional)
    h_0 = each(Tensor.requires_grad_, random_state(layer, len(LENGTHS))) if with_h_0 else None
    reset = [torch.arange(n) % 3 == 2 for n in LENGTHS]
    assert_equals_separate_runs(layer, sequences(), h_0, reset)


def test_equal_lengths_take_h_0_and_reset_in_both_directions():
    layer = make("BMRU", 5, 4, bidirectional=True)
    xs = sequences(lengths=[4, 4])
    h_0 = random_state(layer, 2).requires_grad_()
    assert_equals_separate_runs(layer, xs, h_0, [torch.arange(4) == 2, torch.arange(4) == 1])


def test_the_one_combination_without_a_meaning_for_the_kernels_is_refused():
    layer = make("BMRU", 5, 4, bidirectional=True)
    packed = pack_sequence(sequences(), enforce_sorted=False)
    with pytest.raises(
        ValueError,
        match=(
            "reset must be None where a bidirectional layer gets h_0 and sequences of several "
            "lengths"
        ),
    ):
        layer(packed, random_state(layer, 4), torch.zeros(7, 4, dtype=torch.bool))


@plain_layers
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_the_packed_result_is_described_as_a_grus_is(name, enforce_sorted):
    xs = sequences(lengths=sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS)
    packed = pack_sequence(xs, enforce_sorted=enforce_sorted)
    out, h_n = make(name, 5, 4, bidirectional=True)(packed)
    expected, gru_h_n = torch.nn.GRU(5, 4, bidirectional=True, dtype=torch.float64)(packed)
    assert isinstance(out, PackedSequence)
    assert out.data.shape == expected.data.shape
    assert all(h.shape == gru_h_n.shape for h in flat(h_n))
    for mine, theirs in zip(out[1:], expected[1:], strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 4}, "x must have input_size = 5 channels, got 4"),
        ({"h_0": torch.zeros(1, 3, 4)}, r"h_0 must have shape \(1, 4, 4\), got \(1, 3, 4\)"),
        (
            {"reset": torch.zeros(4, 7, dtype=torch.bool)},
            r"reset must have shape \(7, 4\), got \(4, 7\)",
        ),
    ],
)
def test_bad_calls_name_the_argument(arguments, message):
    packed = pack_sequence(sequences(arguments.get("channels", 5)), enforce_sorted=False)
    with pytest.raises(ValueError, match=message):
        make("BMRU", 5, 4)(packed, arguments.get("h_0"), arguments.get("reset"))
