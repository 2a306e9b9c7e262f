"""Compositions: a stack is its layers one after the other, a parallel their merged outputs, and
whatever they hold behaves as one layer."""

import copy
import io

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from lrnn_kernels import nn
from lrnn_kernels.nn import final
from tests.layers.cases import PLAIN, assert_same, flat, gradients

B, T = 3, 9


def hybrid(**kwargs) -> nn.Stack:
    """Every kind of member: a complex state, several states, torch's, and compositions."""
    torch.manual_seed(0)
    side = nn.Parallel(
        nn.BMRU(8, 6, eps=0.5, **kwargs),
        torch.nn.GRU(8, 6, 2, **kwargs),
        nn.Stack(nn.SRC(8, 5, **kwargs), torch.nn.LSTM(5, 6, proj_size=4, **kwargs)),
        merge="concat",
    )
    return nn.Stack(
        nn.LRU(5, 8, **kwargs), side, nn.MinGRU(16, 6, **kwargs), output_size=3
    ).double()


def drive(*shape) -> torch.Tensor:
    return torch.randn(*shape, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_stack_is_its_layers_one_after_the_other():
    stack, x = hybrid(), drive(T, B)
    out, states = stack(x)
    lru, side, top = stack.layers
    y, first = lru(x)
    bmru, gru, (src, lstm) = side.layers[0], side.layers[1], side.layers[2].layers
    (a, sa), (b, sb) = bmru(y), gru(y)
    c, sc = src(y)
    d, sd = lstm(c)
    y, last = top(torch.cat([a, b, d], -1))
    assert_same(out, y @ stack.output.weight.T)
    assert_same(tuple(flat(states)), tuple(flat((first, (sa, sb, (sc, sd)), last))))


def test_a_sum():
    both = nn.Parallel(nn.LRU(5, 4), nn.CMRU(5, 4)).double()
    x = drive(T, B)
    assert_same(both(x)[0], both.layers[0](x)[0] + both.layers[1](x)[0])


def resets(*shape) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2)) < 0.3


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_reset", [False, True])
def test_steps_and_pieces_give_the_whole(batch_first, with_reset):
    """States of a sequence go to steps and back, through resets, in every member."""
    stack = hybrid(batch_first=batch_first)
    x = drive(B, T) if batch_first else drive(T, B)
    reset = resets(*x.shape[:2]) if with_reset else None
    time = 1 if batch_first else 0
    out, last = stack(x, None, reset)
    states, outs = None, []
    part = None if reset is None else reset.narrow(time, 0, 4)
    y, states = stack(x.narrow(time, 0, 4), states, part)
    outs += y.unbind(time)
    for t in range(4, T):
        y, states = stack.step(
            x.select(time, t), states, None if reset is None else reset.select(time, t)
        )
        outs.append(y)
    whole, pieces = (out, last), (torch.stack(outs, time), states)
    assert_same(flat(pieces), flat(whole))
    weights = list(stack.parameters())
    assert_same(gradients(pieces, weights), gradients(whole, weights))


def test_a_reset_is_a_new_sequence():
    stack, x = hybrid(), drive(T, B)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[4, 1] = reset[6, 1] = True
    out, states = stack(x, None, reset)
    alone, last = stack(x[6:, 1:2])
    assert_same(out[6:, 1:2], alone)
    assert_same(tuple(h[:, 1:2] for h in flat(states)), tuple(flat(last)))


def test_without_a_batch():
    stack, x = hybrid(), drive(T)
    out, states = stack(x, None, resets(T))
    expected, _ = stack(x[:, None], None, resets(T)[:, None])
    assert_same(out, expected[:, 0])
    y, _ = stack.step(x[0])
    assert_same(y, stack(x[:1])[0][0])
    assert stack.step(x[0], states, torch.tensor(True))[0].shape == (3,)


def test_packed_sequences():
    stack, lengths = hybrid(), (4, 9, 6)
    xs = [drive(n) for n in lengths]
    out, states = stack(pack_sequence(xs, enforce_sorted=False))
    padded, _ = pad_packed_sequence(out)
    for i, x in enumerate(xs):
        alone, last = stack(x[:, None])
        assert_same(padded[: len(x), i : i + 1], alone)
        assert_same(tuple(h[:, i : i + 1] for h in flat(states)), tuple(flat(last)))
    with pytest.raises(ValueError, match=r"reset must be None where torch.nn.GRU gets a Packed"):
        stack(pack_padded_sequence(drive(T, B), [9, 4, 2]), None, resets(T, B))


def test_both_directions():
    one = nn.LRU(5, 4, bidirectional=True)
    stack = nn.Stack(one, nn.Parallel(nn.BMRU(8, 3, bidirectional=True), torch.nn.GRU(8, 6)))
    x = torch.randn(T, B, 5)
    assert stack.bidirectional
    assert stack.output_size == 6
    assert_same(stack(x)[0], stack.layers[1](one(x)[0])[0])
    with pytest.raises(RuntimeError, match="step is for one direction"):
        stack.step(x[0])
    both = nn.Stack(torch.nn.GRU(5, 4, bidirectional=True))
    with pytest.raises(
        ValueError, match=r"reset must be None where a torch.nn.GRU is bidirectional"
    ):
        both(x, None, resets(T, B))
    with pytest.raises(RuntimeError, match="step is for one direction"):
        both.step(x[0])


@pytest.mark.parametrize("name", PLAIN)
def test_every_layer_may_be_a_member(name):
    layer = PLAIN[name](5, 4).double()
    x = drive(T, B)
    out, (state,) = nn.Stack(layer)(x)
    assert_same((out, state), layer(x))


@pytest.mark.parametrize("cls", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_resets_within_a_sequence_of_torchs_layers(cls, batch_first):
    """Step by step, with a zero state wherever the mask says so."""
    layer = cls(5, 4, 2, batch_first=batch_first).double()
    x, mask = drive(T, B), resets(T, B)
    mask[0, 0] = mask[-1, -1] = True
    stack = nn.Stack(layer)
    h_0 = layer(x.transpose(0, 1) if batch_first else x)[1]
    given = (x.transpose(0, 1), mask.T) if batch_first else (x, mask)
    out, (last,) = stack(given[0], (h_0,), given[1])
    state, outs = h_0, []
    for t in range(T):
        keep = (~mask[t]).double()[:, None]
        state = tuple(h * keep for h in state) if cls is torch.nn.LSTM else state * keep
        step = x[t : t + 1].transpose(0, 1) if batch_first else x[t : t + 1]
        y, state = layer(step, state)
        outs.append(y)
    assert_same(out, torch.cat(outs, 1 if batch_first else 0))
    assert_same(tuple(flat(last)), tuple(flat(state)))


def test_copies_are_their_own():
    stack, x = hybrid(), drive(T, B)
    expected = stack(x)[0]
    twin = copy.deepcopy(stack)
    saved = io.BytesIO()
    torch.save(stack.state_dict(), saved)
    with torch.no_grad():
        for p in stack.parameters():
            p.zero_()
    assert_same(twin(x)[0], expected, rtol=0, atol=0)
    saved.seek(0)
    stack.load_state_dict(torch.load(saved))
    assert_same(stack(x)[0], expected, rtol=0, atol=0)


def test_a_hybrid_is_exported_reloaded_and_streamed(tmp_path):
    torch.manual_seed(0)
    hybrid = nn.Stack(nn.LRU(5, 8), nn.BMRU(8, 6), output_size=3)
    x = torch.randn(T, B, 5)
    out, _ = hybrid(x)
    time = torch.export.Dim("time", min=2)
    program = torch.export.export(hybrid, (x,), dynamic_shapes=({0: time},))
    torch.export.save(program, tmp_path / "hybrid.pt2")
    loaded = torch.export.load(tmp_path / "hybrid.pt2").module()
    longer = torch.randn(T + 5, B, 5)
    assert_same(loaded(longer)[0], hybrid(longer)[0], rtol=1e-5, atol=1e-6)
    stepped, state = [], None
    for x_t in x:
        y, state = hybrid.step(x_t, state)
        stepped.append(y)
    assert_same(torch.stack(stepped), out, rtol=1e-5, atol=1e-6)


def test_compile():
    stack = nn.Stack(nn.LRU(5, 8), nn.Parallel(nn.BMRU(8, 6), nn.MinGRU(8, 6)), output_size=3)
    x = torch.randn(T, B, 5)
    compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")
    assert_same(compiled(x)[0], stack(x)[0], rtol=1e-5, atol=1e-6)


def test_eps_is_annealed_wherever_a_layer_lies():
    schedule = nn.EpsAnneal(hybrid(), hold=0, decay=0)
    assert schedule.done
    assert [type(layer) for layer in schedule.layers] == [nn.BMRU]


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_end_alone(batch_first, monkeypatch):
    """In pieces of 4 steps, through every kind of member; and with gradients at once."""
    monkeypatch.setattr(final, "FEWEST_STEPS", 4)
    monkeypatch.setattr(final, "PIECE_BYTES", 0)
    stack = hybrid(batch_first=batch_first)
    x = drive(B, T) if batch_first else drive(T, B)
    reset = resets(*x.shape[:2])
    out, states = stack(x, None, reset)
    expected = (out.select(1 if batch_first else 0, -1), states)
    got = stack(x, None, reset, return_sequence=False)
    assert_same(flat(got), flat(expected))
    weights = list(stack.parameters())
    assert_same(gradients(got, weights), gradients(expected, weights))
    with torch.no_grad():
        assert_same(flat(stack(x, None, reset, return_sequence=False)), flat(expected))
    packed = pack_sequence([drive(4), drive(9)], enforce_sorted=False)
    assert_same(stack(packed, return_sequence=False)[0][0], stack(drive(4))[0][-1])
    with pytest.raises(ValueError, match="return_sequence must be True where a layer is bidirect"):
        nn.Stack(nn.LRU(5, 4, bidirectional=True))(x.float(), return_sequence=False)


WRONG = {
    "no layers": (lambda: nn.Stack(), ValueError, "Stack must have at least one layer, got none"),
    "no layer": (
        lambda: nn.Parallel(nn.LRU(5, 4), torch.nn.Linear(5, 4)),
        TypeError,
        "Parallel's layer 1 must be a recurrent layer .*, got Linear",
    ),
    "batch_first": (
        lambda: nn.Stack(nn.LRU(5, 4), torch.nn.GRU(4, 4, batch_first=True)),
        ValueError,
        "Stack's layers must agree on batch_first: layer 0 has False, layer 1 has True",
    ),
    "widths": (
        lambda: nn.Stack(nn.LRU(5, 4, bidirectional=True), nn.BMRU(4, 4)),
        ValueError,
        "layer 1 must have input_size = 8, the width of layer 0's output, got 4",
    ),
    "inputs": (
        lambda: nn.Parallel(nn.LRU(5, 4), nn.BMRU(4, 4)),
        ValueError,
        "layer 1 must have input_size = 5, as layer 0, got 4",
    ),
    "a sum": (
        lambda: nn.Parallel(nn.LRU(5, 4), nn.BMRU(5, 3)),
        ValueError,
        "layer 1 must have outputs as wide as layer 0's, 4, to be added, got 3",
    ),
    "merge": (
        lambda: nn.Parallel(nn.LRU(5, 4), merge="mean"),
        ValueError,
        "merge must be one of 'sum', 'concat', got 'mean'",
    ),
    "states": (
        lambda: nn.Stack(nn.LRU(5, 4))(torch.ones(2, 3, 5), torch.ones(1, 3, 4)),
        TypeError,
        "states must be a tuple with the state of each layer, got Tensor",
    ),
    "how many states": (
        lambda: nn.Stack(nn.LRU(5, 4))(torch.ones(2, 3, 5), (None, None)),
        ValueError,
        "states must hold a state for each of 1 layers, got 2",
    ),
    "a reset": (
        lambda: nn.Stack(torch.nn.GRU(5, 4))(torch.ones(2, 3, 5), None, torch.ones(3, 2) > 0),
        ValueError,
        r"reset must have shape \(2, 3\), got \(3, 2\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case):
    call, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        call()
