"""The warm-up: what it raises, what it leaves alone, and what it says."""

import warnings

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.multistability import chance, double, measure, warm_up

from .cases import seeded

SEQUENCES = torch.randn(20, 16, 2, generator=seeded())  # (T,N,in)


def values(net) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def changed(net, before) -> set[str]:
    return {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}


def gru(layer=nn.GRU, size: int = 32, **options):
    torch.manual_seed(0)
    return layer(2, size, **options)


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM, nn.MGU, torch.nn.GRU])
def test_states_stay_apart_for_as_long_as_was_asked(layer):
    """In two of three draws at least: which states meet hangs on the last bits."""
    reached = []
    for seed in range(3):
        net = gru(layer, 48)
        assert measure(net, SEQUENCES, 60, draws=3, generator=seeded(1)) < 0.3
        done = warm_up(net, SEQUENCES, 40, longest=60, generator=seeded(seed))
        reached.append(measure(net, SEQUENCES, 60, draws=3, generator=seeded(1)))
    assert sorted(reached)[1] > 0.9
    assert done.changed
    assert done.moved == done.layers == (layer.__name__,)
    assert done.vaa_star.shape == (40, 1)
    assert str(done).startswith(f"{layer.__name__}: VAA* 0.")
    assert str(done).endswith("moved")


def test_one_attractor_becomes_many():
    """The paper's schedule, and its measure after 10,000 steps."""
    torch.manual_seed(0)
    net = nn.GRU(1, 64)
    x = torch.randn(50, 32, 1, generator=seeded())
    assert measure(net, x, generator=seeded(1)) == 1 / 32
    warm_up(net, x, generator=seeded())
    assert measure(net, x, draws=2, generator=seeded(1)) > 0.5


def test_the_same_generator_does_the_same():
    done = []
    for seed in (3, 3, 4):
        net = gru(num_layers=2)
        result = warm_up(net, SEQUENCES, 5, batch_size=8, generator=seeded(seed))
        assert result.layers == result.moved == ("GRU layer 0", "GRU layer 1")
        done.append([result.vaa_star, *net.parameters()])
    same = [
        all(torch.equal(a, b) for a, b in zip(done[0], other, strict=True)) for other in done[1:]
    ]
    assert same == [True, False]


def test_global_draws_are_used_without_a_generator():
    curves = []
    for _ in range(2):
        net = gru()
        torch.manual_seed(5)
        curves.append(warm_up(net, SEQUENCES, 3).vaa_star)
    assert torch.equal(*curves)


def test_sequences_may_be_drawn():
    drawn = []

    def draw():
        drawn.append(torch.randn(6, 4, 2, generator=seeded(len(drawn))))
        return drawn[-1]

    warm_up(gru(), draw, 4)
    assert len(drawn) == 4


def test_only_recurrent_layers_move():
    net = nn.Stack(gru(), nn.MGU(32, 16), output_size=3)
    net.layers[1].weight_hh_l0.requires_grad_(False)
    before = values(net)
    result = warm_up(net, SEQUENCES, 10, generator=seeded())
    assert result.moved == ("layers.0 (GRU)", "layers.1 (MGU)")
    assert changed(net, before) == before.keys() - {"output.weight", "layers.1.weight_hh_l0"}


def test_gradients_and_modes_are_as_before():
    net = gru(num_layers=2, dropout=0.5)
    net.weight_ih_l0.grad = torch.ones_like(net.weight_ih_l0)
    for training in (True, False):
        net.train(training)
        with torch.no_grad():
            warm_up(net, SEQUENCES, 2)
        assert net.training is training
        assert all(p.requires_grad for p in net.parameters())
        assert torch.equal(net.weight_ih_l0.grad, torch.ones_like(net.weight_ih_l0))
        assert all(p.grad is None for p in list(net.parameters())[1:])


def test_gradients_are_as_before_after_an_error():
    net = gru()
    net.weight_ih_l0.grad = torch.ones_like(net.weight_ih_l0)

    def draw():
        if net.weight_ih_l0.grad is None or not (net.weight_ih_l0.grad == 1).all():
            raise RuntimeError("enough")
        return SEQUENCES

    with pytest.raises(RuntimeError, match="enough"):
        warm_up(net, draw)
    assert torch.equal(net.weight_ih_l0.grad, torch.ones_like(net.weight_ih_l0))


def unmoved() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    same = nn.GRU(2, 8)
    with torch.no_grad():
        for p in same.parameters():
            p.zero_()
    return {
        "states all equal": same,
        "frozen": nn.GRU(2, 8).requires_grad_(False),
        "BMRU": nn.BMRU(2, 256),
        "LRU": nn.LRU(2, 8),
        "MinGRU": nn.MinGRU(2, 8, num_layers=2),
    }


@pytest.mark.parametrize("name", unmoved())
def test_what_gives_no_gradient_is_left_alone(name):
    net = unmoved()[name]
    before = values(net)
    why = "monostable by construction" if name in ("LRU", "MinGRU") else r"no gradient of VAA\*"
    why = "no parameter requires a gradient" if name == "frozen" else why
    with pytest.warns(UserWarning, match=rf"has left alone: {type(net).__name__}.*\({why}\)"):
        result = warm_up(net, SEQUENCES, 20, generator=seeded())
    assert not changed(net, before)
    assert not result.changed
    assert not result.moved
    assert result.vaa_star.isfinite().all()
    assert result.monostable == (result.layers if name in ("LRU", "MinGRU") else ())


def test_a_monostable_layer_below_another():
    torch.manual_seed(0)
    net = nn.Stack(nn.LRU(2, 8), nn.GRU(8, 32))
    before = values(net)
    with pytest.warns(
        UserWarning, match=r"alone: layers.0 \(LRU\) \(monostable by construction\)$"
    ):
        result = warm_up(net, SEQUENCES, 5, generator=seeded())
    assert result.monostable == ("layers.0 (LRU)",)
    assert result.moved == ("layers.1 (GRU)",)
    assert changed(net, before) == {name for name in before if name.startswith("layers.1")}
    assert "monostable, unchanged" in str(result)


@pytest.mark.parametrize(
    "layer", [nn.BMRU, nn.CMRU, nn.FQBMRU, nn.BRC, nn.SRC, nn.GRU, torch.nn.RNN]
)
def test_only_contracting_layers_are_called_monostable(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert warm_up(gru(layer), SEQUENCES, 1).monostable == ()


def test_partial():
    """Of every pair the second cell stays; the first ones of both layers move."""
    torch.manual_seed(0)
    net = double(nn.GRU, 2, 48, num_layers=2, output_size=3)
    before = values(net)
    result = warm_up(net, SEQUENCES, 10, partial=True, generator=seeded())
    assert result.moved == ("layers.0.layers.0 (GRU)", "layers.1.layers.0 (GRU)")
    assert len(result.layers) == 4
    assert result.vaa_star.shape == (10, 4)
    assert changed(net, before) == {name for name in before if name[8:].startswith(".layers.0")}


def test_partial_needs_a_pair():
    with pytest.raises(ValueError, match="partial must be False where net has no Parallel"):
        warm_up(gru(), SEQUENCES, partial=True)


def test_the_first_steps_are_short(monkeypatch):
    """M is drawn from 1..min(1 + 10 k, longest), k = 1, 2, ..."""
    seen = []
    monkeypatch.setattr(chance, "whole", lambda most, generator: seen.append(most) or 1)
    warm_up(gru(), SEQUENCES, 6, longest=45)
    assert seen == [11, 21, 31, 41, 45, 45]


def test_an_overflow_changes_nothing():
    net = gru()
    before = values(net)
    net.weight_hh_l0.register_hook(lambda gradient: gradient * torch.inf)
    warm_up(net, SEQUENCES, 3, generator=seeded())
    assert not changed(net, before)
