"""What users of torch.nn.GRU do with a layer beside calling it."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import fx

from lrnn_kernels import nn
from tests.layers.cases import PLAIN, plain_layers


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_all_weights_are_in_torchs_order(name, bias):
    form = {"num_layers": 2, "bidirectional": True, "bias": bias}
    ours, theirs = getattr(nn, name)(3, 4, **form), getattr(torch.nn, name)(3, 4, **form)
    ours.load_state_dict(theirs.state_dict())
    assert len(ours.all_weights) == len(theirs.all_weights) == 4
    for mine, given in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert len(mine) == len(given)
        assert all(torch.equal(p, q) for p, q in zip(mine, given, strict=True))


@plain_layers
def test_all_weights_are_all_parameters(name):
    layer = PLAIN[name](3, 4, num_layers=2)
    found = [id(p) for weights in layer.all_weights for p in weights]
    assert found == [id(p) for p in layer.parameters()]


@plain_layers
def test_flatten_parameters_leaves_all_as_it_is(name):
    layer, x = PLAIN[name](3, 4), torch.randn(6, 2, 3)
    before, _ = layer(x)
    assert layer.flatten_parameters() is None
    assert torch.equal(layer(x)[0], before)


@plain_layers
def test_a_state_dict_passes_through_safetensors(name, tmp_path):
    layer, x = PLAIN[name](3, 4, num_layers=2, initial_state="learned"), torch.randn(6, 2, 3)
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    other = PLAIN[name](3, 4, num_layers=2, initial_state="learned")
    other.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(other(x)[0], layer(x)[0])


class _Model(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer, torch.nn.Linear(4, 2)

    def forward(self, x):
        out, _ = self.layer(x)
        return self.head(out)


class _Tracer(fx.Tracer):
    """As fx.Tracer takes torch.nn's layers: as leaves."""

    def is_leaf_module(self, module, name):
        return hasattr(module, "step") or super().is_leaf_module(module, name)


@pytest.mark.parametrize("name", [*PLAIN, "Stack"])
def test_a_model_is_traced_around_its_layers(name):
    layer = nn.Stack(nn.LRU(3, 4), nn.BMRU(4, 4)) if name == "Stack" else PLAIN[name](3, 4)
    model, x = _Model(layer), torch.randn(6, 2, 3)
    graph = _Tracer().trace(model)
    assert [n.target for n in graph.nodes if n.op == "call_module"] == ["layer", "head"]
    assert torch.equal(fx.GraphModule(model, graph)(x), model(x))
