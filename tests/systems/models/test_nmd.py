"""Nets that are modulated: against their equations, in pieces, step by step, frozen."""

import pytest
import torch
from torch.nn.functional import hardtanh

from lrnn_kernels import models, nn

MODULATORS = {
    "GRU": lambda: nn.GRU(3, 8, batch_first=True),
    "Stack": lambda: nn.Stack(nn.GRU(3, 8, batch_first=True), nn.BRC(8, 8, batch_first=True)),
    "LRU": lambda: nn.LRU(3, 8, batch_first=True),
    "torch's": lambda: torch.nn.LSTM(3, 8, batch_first=True),
}
every = pytest.mark.parametrize("modulator", MODULATORS.values(), ids=MODULATORS)


def made(modulator, **options):
    torch.manual_seed(0)
    options = {"modulators": 5, "hidden": (6, 4), **options}
    net = models.NMDNet(modulator(), 2, (1, 3), **options)
    for p in net.parameters():  # the draws of a beginning are small
        torch.nn.init.normal_(p, std=0.5)
    return net


def inputs(B=3, T=11):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(B, T, n, generator=generator) for n in (2, 3)]


def values(answers):
    return torch.cat(answers, -1)


@every
@pytest.mark.parametrize("offset0", [0, 1])
def test_it_is_as_it_is_written(modulator, offset0):
    net, (x, context) = made(modulator, offset0=offset0), inputs()
    (first, second), _ = net(x, context)
    y = net.modulator(context)[0]
    z = torch.relu(y @ net.signal.weight.T + net.signal.bias)
    assert (z > 0).any()
    assert (z == 0).any()

    def layer(part, h):
        gain, offset = z @ part.weight_s.T + offset0, z @ part.weight_b.T + part.bias
        return (h @ part.weight.T) * gain + offset

    h = x
    for part in net.main:
        h = hardtanh(layer(part, h))
    torch.testing.assert_close(first, layer(net.heads[0], h), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second, layer(net.heads[1], h), rtol=1e-4, atol=1e-5)


@every
def test_pieces_steps_and_episodes_are_the_whole(modulator):
    net, (x, context) = made(modulator), inputs()
    whole = values(net(x, context)[0])
    a, state = net(x[:, :4], context[:, :4])
    b, _ = net(x[:, 4:], context[:, 4:], state)
    torch.testing.assert_close(torch.cat((values(a), values(b)), 1), whole, rtol=1e-5, atol=1e-5)
    state, found = None, []
    for t in range(x.shape[1]):
        answer, state = net.step(x[:, t], context[:, t], state)
        found.append(values(answer))
    torch.testing.assert_close(torch.stack(found, 1), whole, rtol=1e-5, atol=1e-5)
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    reset[:, 4] = True
    again = values(net(x, context, None, reset)[0])
    alone = values(net(x[:, 4:], context[:, 4:])[0])
    torch.testing.assert_close(again[:, :4], whole[:, :4])
    torch.testing.assert_close(again[:, 4:], alone, rtol=1e-5, atol=1e-5)


@every
def test_a_frozen_signal_is_all_that_is_left_of_the_context(modulator):
    net, (x, context) = made(modulator), inputs()
    z, state = net.modulation(context)
    net.freeze_modulation(z[:, -1])
    answers, kept = net(x, torch.randn_like(context), state)
    assert kept is state
    expected = net.respond(x, z[:, -1:].expand(-1, x.shape[1], -1))
    assert torch.equal(values(answers), values(expected))
    one, _ = net.step(x[:, 3], context[:, 0], state)
    torch.testing.assert_close(values(one), values(answers)[:, 3])
    net.freeze_modulation(z[0, -1])
    for_all, _ = net(x, context)
    torch.testing.assert_close(values(for_all)[0], values(answers)[0])
    net.freeze_modulation(None)
    torch.testing.assert_close(values(net(x, context)[0]), values(net.respond(x, z)))


@every
def test_gradients_reach_everything(modulator):
    net, (x, context) = made(modulator), inputs()
    x.requires_grad_()
    context.requires_grad_()
    values(net(x, context)[0]).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert context.grad.abs().sum() > 0
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_the_papers_networks_have_as_many_parameters():
    """Actors of all three benchmarks, within 2.5 %: a GRU reads action, reward and observation."""
    shapes = {
        1: (1, 1, lambda n: nn.GRU(n, 50, batch_first=True), 20, (10,), (20, 10), "relu"),
        2: (2, 1, None, 45, (30, 10), (45, 30, 10), "srelu"),
        3: (4, 1, None, 45, (30, 10), (45, 30, 10), "srelu"),
    }

    def two(n):
        return nn.Stack(nn.GRU(n, 100, batch_first=True), nn.GRU(100, 75, batch_first=True))

    for D, A, rnn, k, hidden, dense, activation in shapes.values():
        rnn = rnn or two
        net = models.NMDNet(rnn(A + 1 + D), D, (A, A), modulators=k, hidden=hidden)
        rival = models.RecurrentNet(rnn(A + 1 + 2 * D), (A, A), hidden=dense, activation=activation)
        mine, theirs = (sum(p.numel() for p in m.parameters()) for m in (net, rival))
        assert abs(mine / theirs - 1) < 0.025


def test_the_rival_is_dense_layers_after_a_recurrent_one():
    torch.manual_seed(0)
    net = models.RecurrentNet(
        nn.GRU(3, 8, batch_first=True), 2, hidden=(5, 4), activation=("relu", "srelu")
    )
    x = torch.randn(3, 7, 3)
    whole, _ = net(x)
    y = net.rnn(x)[0]
    y = hardtanh(net.dense[1](torch.relu(net.dense[0](y))))
    torch.testing.assert_close(whole, net.heads[0](y))
    state, found = None, []
    for t in range(7):
        out, state = net.step(x[:, t], state)
        found.append(out)
    torch.testing.assert_close(torch.stack(found, 1), whole, rtol=1e-5, atol=1e-6)


def test_a_beginning_is_drawn_as_the_paper_does():
    torch.manual_seed(0)
    net = models.NMDNet(nn.GRU(3, 50, batch_first=True), 40, 30, modulators=20, hidden=(50,))
    for part in (net.signal, net.main[0], net.heads[0]):
        assert 0.08 < part.weight.std() < 0.1
        assert part.weight.abs().max() <= 0.2
        assert not part.bias.any()
    assert net(torch.zeros(1, 2, 40), torch.zeros(1, 2, 3))[0].shape == (1, 2, 30)


def test_float64_compiles_and_is_checked():
    net = made(MODULATORS["GRU"]).double()
    x, context = (x.double() for x in inputs())
    whole = values(net(x, context)[0])
    assert whole.dtype == torch.float64
    compiled = torch.compile(net, backend="eager")
    torch.testing.assert_close(values(compiled(x, context)[0]), whole)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda net, x, c: net(x[0], c),
            ValueError,
            r"x must have shape \(B, T, 2\), got",
        ),
        (lambda net, x, c: net(x, x), ValueError, r"context must have shape \(B, T, 3\), got"),
        (lambda net, x, c: net(x[:, 1:], c), ValueError, r"context must have x's B and T, \(3, 10"),
        (lambda net, x, c: net.step(x, c), ValueError, r"x must have shape \(B, 2\), got"),
        (lambda net, x, c: net([1.0], c), TypeError, "x must be a tensor"),
        (
            lambda net, x, c: net.freeze_modulation(x),
            ValueError,
            r"z must have shape \(5,\) or",
        ),
    ],
)
def test_bad_calls_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(made(MODULATORS["GRU"]), *inputs())


def test_bad_nets_are_named():
    with pytest.raises(TypeError, match="modulator must be a recurrent layer"):
        models.NMDNet(torch.nn.Linear(3, 4), 1, 1)
    with pytest.raises(ValueError, match="modulator must have batch_first=True"):
        models.NMDNet(nn.GRU(3, 4), 1, 1)
    with pytest.raises(ValueError, match="rnn must be of one direction"):
        models.RecurrentNet(nn.GRU(3, 4, batch_first=True, bidirectional=True), 1)
    with pytest.raises(ValueError, match="output_size must have a head at least"):
        models.NMDNet(nn.GRU(3, 4, batch_first=True), 1, ())
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'srelu', 'tanh', or 2"):
        models.RecurrentNet(nn.GRU(3, 4, batch_first=True), 1, activation=("relu",))
    frozen = made(MODULATORS["GRU"])
    frozen.freeze_modulation(torch.ones(4, 5))
    with pytest.raises(ValueError, match="x must have B = 4, as the frozen z"):
        frozen.step(torch.ones(3, 2), torch.ones(3, 3))
