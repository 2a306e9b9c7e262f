"""Where states go under a constant input: as a plain loop of steps says, whether or not orbits are
followed to the end."""

import pytest
import torch
from torch.utils._pytree import tree_map

from lrnn_kernels import nn
from lrnn_kernels.multistability import chance, hold, measure, orbit, sampling, vaa
from lrnn_kernels.multistability.network import Network, rows
from tests.layers.cases import TOLERANCE, gradients

from .cases import IN, by_steps, every_bit, every_network, make, seeded, sequences

LENGTHS = torch.tensor([5, 1, 9, 9, 3, 7])


def inputs(net, steps: int = 9):
    return sequences(net, steps, len(LENGTHS)), torch.randn(
        IN, generator=seeded(), dtype=torch.float64
    )


@every_network
def test_states_at_each_length(name):
    net = make(name)
    x, _ = inputs(net)
    expected = by_steps(net, x, LENGTHS.tolist())
    with torch.no_grad():
        torch.testing.assert_close(
            rows(sampling.at(Network(net), x, LENGTHS)), expected, **TOLERANCE
        )
    recorded = rows(sampling.at(Network(net), x, LENGTHS))
    torch.testing.assert_close(recorded, expected, **TOLERANCE)


def test_long_sequences_are_cut(monkeypatch):
    monkeypatch.setattr(sampling, "MOST_STEPS", 2)
    net = make("batch first")
    x, _ = inputs(net)
    with torch.no_grad():
        found = rows(sampling.at(Network(net), x, LENGTHS))
    torch.testing.assert_close(found, by_steps(net, x, LENGTHS.tolist()), **TOLERANCE)


def test_states_are_all_that_a_network_carries():
    """h with c, real with imaginary parts, in whatever holds them."""
    net = make("nested")
    x, _ = inputs(net)
    _, ((lru, ((h, c), bmru)), torchs, mgu) = net(x)
    parts = [lru.real, lru.imag, h, c, bmru, *torchs, mgu]
    found = sampling.at(Network(net), x, torch.full((len(LENGTHS),), 9))
    torch.testing.assert_close(rows(found), torch.cat(parts, 2)[0], **TOLERANCE)


@every_network
def test_gradients_through_the_sequences(name):
    net = make(name)
    x, _ = inputs(net)
    tensors = [x.requires_grad_(), *net.parameters()]
    found = gradients(rows(sampling.at(Network(net), x, LENGTHS)), tensors)
    expected = gradients(by_steps(net, x, LENGTHS.tolist()), tensors)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, **TOLERANCE)


@every_network
def test_measure_is_what_a_loop_of_steps_finds(name):
    net, steps = make(name), 29
    x, _ = inputs(net)
    generator = seeded(3)
    lengths = chance.lengths(9, len(LENGTHS), generator)
    u = chance.constant(IN, generator, x)
    with torch.no_grad():
        expected = by_steps(net, x, lengths.tolist(), u, steps)
    found = rows(orbit.after(Network(net), sampling.at(Network(net), x, lengths), u, steps))
    torch.testing.assert_close(found, expected, **TOLERANCE)
    eps = max((expected[0] - expected[1]).norm().item() * 1.01, 1e-4)  # so that some are near
    assert measure(net, x, steps, eps=eps, generator=seeded(3)) == vaa(expected, eps)


@every_network
def test_stopping_early_changes_no_bit(name):
    net = make(name).float()
    x, u = (tensor.float() for tensor in inputs(net))
    network = Network(net)
    with torch.no_grad():
        states = sampling.at(network, x, LENGTHS)
        for steps in (24, 1000, 1003):
            expected = every_bit(orbit.after(network, states, u, steps, stop=False))
            assert every_bit(orbit.after(network, states, u, steps)) == expected


class _Counted:
    """How many steps a layer is run for."""

    def __init__(self, layer) -> None:
        self.steps = 0
        layer.register_forward_hook(self._add)

    def _add(self, layer, given, _) -> None:
        self.steps += given[0].shape[0]


def cycles(*lengths: int) -> torch.nn.RNN:
    """h = relu(P h): every state of at least 0 goes round and round, without rounding."""
    net = torch.nn.RNN(1, sum(lengths), nonlinearity="relu", bias=False)
    with torch.no_grad():
        net.weight_ih_l0.zero_()
        blocks = [torch.eye(n).roll(1, 0) for n in lengths]
        net.weight_hh_l0.copy_(torch.block_diag(*blocks))
    return net


@pytest.mark.parametrize("count", [3, 4])  # without the last, no orbit is as long as all together
@pytest.mark.parametrize("piece", [1, 2, 5, 24])
@pytest.mark.parametrize("steps", [999, 1000, 1001, 1002, 1003, 1004])
def test_sequences_of_different_periods(count, piece, steps):
    """1, 2, 3 and 6 steps: each is followed to where it is after all of them."""
    net = cycles(2, 3)
    h = torch.tensor([[1, 1, 2, 2, 2], [1, 3, 2, 2, 2], [1, 1, 5, 6, 7], [1, 2, 3, 4, 5.0]])[:count]
    counted = _Counted(net)
    with torch.no_grad():
        (found,) = orbit.after(Network(net), [h[None]], torch.zeros(1), steps, piece=piece)
    assert counted.steps <= 13 * piece + piece - 1
    expected = torch.cat([h[:, :2].roll(steps, 1), h[:, 2:].roll(steps, 1)], 1)
    assert torch.equal(found[0], expected)


def test_an_orbit_of_two_steps():
    """h = tanh(-3 h + u) flips between two states for ever; an odd number of steps more is the
    other one."""
    net = torch.nn.RNN(1, 1)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.weight_hh_l0.fill_(-3.0)
    h = torch.tensor([[[0.4], [-0.7], [0.1]]])
    u = torch.zeros(1)
    with torch.no_grad():
        states = [hold(net, h, u, steps) for steps in (10_000, 10_001, 10_002)]
        brute = [
            orbit.after(Network(net), [h], u, steps, stop=False)[0] for steps in (10_000, 10_001)
        ]
        # A piece of 7 steps turns the orbit round: it is one of two pieces.
        seven = orbit.after(Network(net), [h], u, 10_000, piece=7)[0]
    assert torch.equal(states[0], brute[0])
    assert torch.equal(states[1], brute[1])
    torch.testing.assert_close(seven, brute[0])
    assert torch.equal(states[0], states[2])
    assert (states[0] * states[1] < 0).all()


def test_what_has_come_to_rest_is_run_no_further():
    """A lower layer at rest is not run for a higher one that is not, nor either once both are."""
    net = nn.Stack(cycles(1), cycles(5))
    lower, upper = (_Counted(layer) for layer in net.layers)
    states = (torch.ones(1, 2, 1), torch.rand(1, 2, 5, generator=seeded()))
    with torch.no_grad():
        found = hold(net, states, torch.zeros(1), 24 * 40)
    assert lower.steps == 24
    assert 24 * 5 <= upper.steps <= 24 * 10
    assert torch.equal(found[1], states[1])  # 960 is a multiple of 5


def test_memory_of_what_was_seen_is_bounded(monkeypatch):
    monkeypatch.setattr(orbit, "MOST_SEEN", 3)
    net = cycles(5)
    h = torch.rand(1, 2, 5, generator=seeded())
    counted = _Counted(net)
    with torch.no_grad():
        (found,) = orbit.after(Network(net), [h], torch.zeros(1), 101, piece=1)
    assert torch.equal(found, h.roll(1, 2))
    assert counted.steps == 101  # an orbit of five is not seen to close among three


@every_network
def test_hold_is_a_loop_of_steps(name):
    net = make(name)
    x, u = inputs(net)
    network = Network(net)
    with torch.no_grad():
        start = network.join(sampling.at(network, x, LENGTHS))
        found = hold(net, start, u, 30)
        assert tree_map(lambda h: h.shape, found) == tree_map(lambda h: h.shape, start)
        expected = by_steps(net, x, LENGTHS.tolist(), u, 30)
        torch.testing.assert_close(rows(network.split(found)), expected, **TOLERANCE)
    recorded = hold(net, start, u, 30)
    torch.testing.assert_close(rows(network.split(recorded)), expected, **TOLERANCE)
    each = hold(net, start, u.expand(len(LENGTHS), -1), 30)
    torch.testing.assert_close(rows(network.split(each)), expected, **TOLERANCE)


@every_network
def test_gradients_of_hold(name, monkeypatch):
    """Those of a call on the repeated input, recorded as a whole; in pieces, too."""
    net = make(name)
    x, u = inputs(net)
    network = Network(net)
    with torch.no_grad():
        parts = network.split(network.join(sampling.at(network, x, LENGTHS)))
    leaves = [h.clone().requires_grad_() for state in parts for h in _listed(state)]
    kept = iter(leaves)
    states = network.join(
        [tuple(next(kept) for _ in s) if isinstance(s, tuple) else next(kept) for s in parts]
    )
    u.requires_grad_()
    tensors = [*leaves, u, *net.parameters()]
    steps = 11
    repeated = u.expand(*((6, steps) if net.batch_first else (steps, 6)), -1)
    _, after = net(repeated * 1.0, states)
    expected = gradients(rows(network.split(after)), tensors)
    for recorded in (256, 4):
        monkeypatch.setattr("lrnn_kernels.multistability.holding.RECORDED", recorded)
        found = gradients(rows(network.split(hold(net, states, u, steps))), tensors)
        for got, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(got, wanted, **TOLERANCE)


def _listed(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("name", ["GRU", "LSTM", "MinGRU", "LRU", "torch RNN"])
def test_gradients_by_finite_differences(name, monkeypatch):
    monkeypatch.setattr("lrnn_kernels.multistability.holding.RECORDED", 3)
    net = make(name)
    x, u = inputs(net)
    network = Network(net)
    with torch.no_grad():
        parts = network.split(network.join(sampling.at(network, x[:, :2], LENGTHS[:2])))
    start = network.join(parts)
    given = start if isinstance(start, tuple) else (start,)
    given = [h.detach().requires_grad_() for h in given]

    def function(u, *h):
        states = tuple(h) if isinstance(start, tuple) else h[0]
        return rows(network.split(hold(net, states, u, 7)))

    assert torch.autograd.gradcheck(function, (u.requires_grad_(), *given))
