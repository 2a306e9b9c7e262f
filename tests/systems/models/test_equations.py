"""A backbone computes its equations, from the parameters that the papers start from."""

import math

import pytest
import torch
import torch.nn.functional as F

from lrnn_kernels import nn
from lrnn_kernels.models import Backbone, BackboneConfig, Layer
from tests.layers.cases import assert_same
from tests.systems.models.cases import IN, OUT, STATES, every_head, make, sequence


def _mlp(p, x, kind):
    inner = F.linear(x, p["up.weight"], p["up.bias"])
    if kind == "glu":
        a, b = inner.chunk(2, -1)
        inner = a / (1 + torch.exp(-b))
    else:
        inner = (
            inner.clamp(min=0) if kind == "relu" else inner * (1 + torch.erf(inner / 2**0.5)) / 2
        )
    return F.linear(inner, p["down.weight"], p["down.bias"])


def _norm(p, x, training):
    over = (0, 1) if "running_mean" in p else -1
    mean = x.mean(over, keepdim=True)
    var = (x - mean).square().mean(over, keepdim=True)
    if "running_mean" in p and not training:
        mean, var = p["running_mean"], p["running_var"]
    return (x - mean) / (var + 1e-5).sqrt() * p["weight"] + p["bias"]


def _encoding(p, x, channels, base):
    offset = p["offset"].tolist() if "offset" in p else [0.0] * (channels // 2)
    rows = []
    for t in range(x.shape[1]):
        angles = [t * base ** (-2 * k / channels) + offset[k] for k in range(channels // 2)]
        rows.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    return torch.tensor(rows, dtype=x.dtype).expand(x.shape[0], -1, -1)


def _below(p, name):
    return {key.removeprefix(f"{name}."): q for key, q in p.items() if key.startswith(f"{name}.")}


def by_hand(network, x):
    """out of whole sequences, from the state_dict, term by term; cells are the layers."""
    c, p = network.config, dict(network.state_dict())
    x = p["embedding.weight"][x] if c.head == "tokens" else x
    read = x
    if c.positions:
        read = torch.cat([x, _encoding(_below(p, "encoding"), x, c.positions, c.position_base)], -1)
    x = F.linear(read, p["input.weight"], p["input.bias"])
    x = x + _mlp(_below(p, "first"), x, c.mlp)
    for i in range(c.depth):
        b = _below(p, f"blocks.{i}")
        u = _norm(_below(b, "norm1"), x, network.training)
        read = u
        if c.conv:
            read = torch.zeros_like(u)
            for t in range(u.shape[1]):
                read[:, t] = b["convolution.bias"]
                for j in range(min(c.conv, t + 1)):
                    read[:, t] += b["convolution.weight"][:, j] * u[:, t - j]
        if c.positions:
            pe = _encoding(_below(b, "encoding"), u, c.positions, c.position_base)
            read = torch.cat([read, pe], -1)
        cell = network.blocks[i].cell
        if isinstance(cell, nn.Parallel):
            width = [layer.output_size for layer in cell.layers]
            maps = b["output.weight"].split(width, 1)
            r = sum(F.linear(y(read)[0], W) for y, W in zip(cell.layers, maps, strict=True))
            r = r + b["output.bias"]
        else:
            r = F.linear(cell(read)[0], b["output.weight"], b["output.bias"])
        r = r / (1 + torch.exp(-F.linear(u, b["gate.weight"], b["gate.bias"])))
        x = b["rho1"] * x + r
        u = _norm(_below(b, "norm2"), x, network.training)
        x = b["rho2"] * x + _mlp(_below(b, "mlp"), u, c.mlp)
    x = x + _mlp(_below(p, "last"), x, c.mlp)
    out = F.linear(x, p["head.weight"], p["head.bias"])
    return {"last": out[:, -1], "mean": out.mean(1)}.get(c.head, out)


@every_head
@pytest.mark.parametrize("cell", ["BMRU", "LRU", "SRC", "hybrid", "stack"])
def test_equations(cell, head):
    network = make(cell, head=head)
    x = sequence(network, 2, 9)
    assert_same(network(x)[0], by_hand(network, x))


@pytest.mark.parametrize(
    "options",
    [
        {"mlp": "gelu"},
        {"mlp": "relu", "expansion": 1},
        {"positions": 0},
        {"position_offsets": False},
        {"position_base": 50.0, "positions": 2},
        {"conv": 0},
        {"conv": 1},
        {"conv": 12},
        {"depth": 1},
        {"conv": 0, "positions": 0},
        {"norm": "batch"},
    ],
    ids=str,
)
def test_every_choice(options):
    network = make("hybrid", head="steps", **options)
    x = sequence(network, 2, 7)
    assert_same(network(x)[0], by_hand(network, x))


def test_batch_norms_of_what_training_saw(tmp_path):
    """After ``eval()`` a sequence's output depends on it alone, in pieces, by steps and from a
    file, too."""
    network = make("hybrid", head="steps", norm="batch")
    for seed in range(3):
        network(sequence(network, 4, 8 + seed))
    assert network.blocks[1].norm2.running_mean.abs().min() > 0
    network.eval()
    x = sequence(network, 3, 7)
    out, _ = network(x)
    assert_same(out, by_hand(network, x))
    assert_same(out[1:2], network(x[1:2])[0])
    head, states = network(x[:, :3])
    tail, states = network(x[:, 3:6], states)
    last, _ = network.step(x[:, 6], states)
    assert_same(out, torch.cat([head, tail, last[:, None]], 1))
    network.save(tmp_path / "network.safetensors")
    assert torch.equal(Backbone.load(tmp_path / "network.safetensors").eval()(x)[0], out)
    network.reset_parameters()
    assert not network.blocks[1].norm2.running_mean.any()


def test_without_an_output_map_cells_are_added_as_they_are():
    c = BackboneConfig(3, 2, ("LRU", "MinGRU"), width=4, dropout=0.0, output_map=False, depth=1)
    network = Backbone(c, dtype=torch.float64)
    found = []
    network.blocks[0].cell.register_forward_hook(lambda _, args, out: found.append((args[0], out)))
    network(torch.randn(2, 6, 3, dtype=torch.float64))
    read, (out, _) = found[0]
    assert_same(out, sum(layer(read)[0] for layer in network.blocks[0].cell.layers))
    with pytest.raises(ValueError, match=r"output_map must be True .* 4, got 5"):
        Backbone(BackboneConfig(3, 2, Layer("LRU", 5), width=4, output_map=False))


def test_dropout_acts_in_training_alone():
    network = make("MinGRU", dropout=0.5)
    x = sequence(network, 2, 5)
    assert not torch.equal(network(x)[0], network(x)[0])
    places = {name: m for name, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
    passed = []
    for name, place in places.items():
        assert place.p == 0.5
        place.register_forward_hook(lambda *_, name=name: passed.append(name))
    network.eval()
    assert_same(network(x)[0], by_hand(network, x))
    assert sorted(passed) == sorted(places)
    assert {"first.dropout", "blocks.1.dropout", "blocks.1.mlp.dropout"} <= places.keys()


def test_parameters_at_the_start():
    """Gates nearly open, skips 1, offsets and biases 0, and weights of variance 1/in."""
    network = Backbone(BackboneConfig(64, 10, "BMRU", width=64, conv=4, head="mean"))

    def check():
        for name, p in network.named_parameters():
            kind = name.split(".", 2)[-1] if name.startswith("blocks") else name
            if kind.startswith("cell."):
                continue
            if kind == "gate.bias":
                assert (p == 4).all()
            elif kind in ("rho1", "rho2", "norm1.weight", "norm2.weight"):
                assert (p == 1).all()
            elif p.dim() == 1:
                assert (p == 0).all(), name
            else:
                assert p.std().item() == pytest.approx(p.shape[1] ** -0.5, rel=0.15), name

    check()
    before = {name: p.clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(7.0)
    network.reset_parameters()
    check()
    for name, p in network.named_parameters():
        assert not (p == 7).any(), name
        if p.dim() > 1:
            assert not torch.equal(p, before[name]), name


def test_positions_are_exact_far_out():
    """Beyond what float32 can count, in which the angle alone would be off by a radian."""
    network = make("MinGRU", conv=0, head="steps", positions=2).float()
    seen = []
    network.input.register_forward_hook(lambda _, args, out: seen.append(args[0][0, :, IN:]))
    _, (_, windows, cells, total) = network(torch.randn(1, 1, IN))
    far = 2**24 + 1
    network(torch.randn(1, 2, IN), (torch.tensor([far]), windows, cells, total))
    offset = network.encoding.offset.item()
    for row, t in zip(seen[-1].tolist(), (far, far + 1), strict=True):
        assert row == pytest.approx([math.sin(t + offset), math.cos(t + offset)], abs=1e-6)


KEYS = {
    "embedding.weight",
    "encoding.offset",
    *(f"{part}.{p}" for part in ("input", "head") for p in ("weight", "bias")),
    *(
        f"{mlp}.{part}.{p}"
        for mlp in ("first", "last", "blocks.0.mlp")
        for part in ("up", "down")
        for p in ("weight", "bias")
    ),
    *(
        f"blocks.0.{part}.{p}"
        for part in ("norm1", "norm2", "convolution", "output", "gate")
        for p in ("weight", "bias")
    ),
    "blocks.0.encoding.offset",
    "blocks.0.rho1",
    "blocks.0.rho2",
    "blocks.0.cell.weight_ih_l0",
    "blocks.0.cell.bias_ih_l0",
    "blocks.0.cell.alpha_l0",
    "blocks.0.cell.s0_l0",
}


def test_keys_of_the_state_dict():
    """Checkpoints depend on them."""
    network = make("BMRU", head="tokens", depth=1)
    assert network.state_dict().keys() == KEYS
    hybrid = make("hybrid of a stack", depth=1)
    found = {name.rsplit(".", 1)[0] for name in hybrid.blocks[0].cell.state_dict()}
    assert found == {"layers.0.layers.0", "layers.0.layers.1", "layers.1"}
    assert hybrid.blocks[0].output.weight.shape == (4, 4 + 4)
    assert make("BMRU").blocks[1].cell.hidden_size == STATES
    assert make("BMRU").output_size == OUT
