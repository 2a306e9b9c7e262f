"""Whole networks train: gradients, types."""

import pytest
import torch

from tests.layers.cases import flat
from tests.systems.models.cases import every_cell, every_head, make, sequence


@every_cell
@every_head
def test_a_gradient_reaches_every_parameter(cell, head):
    network = make(cell, head=head)
    x = sequence(network, 32, 24)  # so many that a neuron spikes at the last step
    network(x)[0].square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0, name


@pytest.mark.parametrize("cell", ["LRU", "MinGRU", "NBRC", "LSTM", "factory"])
def test_gradients_are_those_of_differences(cell):
    """Of the input, the states and all parameters, with an episode that starts within."""
    network = make(cell, head="mean", width=2, positions=2, conv=2, depth=1, expansion=1)
    x = sequence(network, 2, 4)
    _, (position, windows, cells, total) = network(x)
    leaves = [*windows, *flat(cells), total]
    leaves = [leaf.detach().requires_grad_() for leaf in (x, *leaves)]
    reset = torch.zeros(2, 4, dtype=torch.bool)
    reset[0, 2] = True
    names = [name for name, _ in network.named_parameters()]

    def run(x, window, *rest):
        count = len(flat(cells))
        parts = iter(rest[:count])
        states = (position, (window,), _like(cells, parts), rest[count])
        values = dict(zip(names, rest[count + 1 :], strict=True))
        out, last = torch.func.functional_call(network, values, (x, states, reset))
        ends = [torch.view_as_real(h) if h.is_complex() else h for h in flat(last[2])]
        return out, *last[1], *ends, last[3]

    given = [p.detach().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(run, (*leaves, *given), fast_mode=True)


def _like(states, parts):
    if isinstance(states, tuple):
        return tuple(_like(part, parts) for part in states)
    return next(parts)


@pytest.mark.parametrize("cell", ["BMRU", "LRU", "NBRC", "hybrid"])
@every_head
def test_types(cell, head):
    """16-bit parameters, and autocast, near float32."""
    network = make(cell, head=head).float()
    x = sequence(network, 3, 9)
    x = x if head == "tokens" else x.float()
    exact = network(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        out, states = network(x)
        assert states[3] is None or states[3].dtype == torch.float32
        step = network.step(x[:, 0], states)[0]
    assert out.dtype == step.dtype == torch.bfloat16
    assert out.shape == exact.shape
    half = network.to(torch.bfloat16)
    out, states = half(x if head == "tokens" else x.bfloat16())
    assert out.dtype == torch.bfloat16
    assert states[3] is None or states[3].dtype == torch.float32
    if cell in ("LRU", "NBRC"):  # a threshold may fall to the other side of a rounding
        assert (out - exact).abs().max() < 0.1 * exact.abs().max()


def test_it_learns_with_any_optimizer_step():
    network = make("hybrid", head="last")
    x, y = sequence(network, 16, 12), torch.randn(16, 2, dtype=torch.float64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (network(x)[0] - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
