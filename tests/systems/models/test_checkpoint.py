"""Configs as data, and networks in one file."""

import copy
import dataclasses
import json
import pickle
import struct
import sys

import pytest
import safetensors.torch
import torch

from lrnn_kernels import nn
from lrnn_kernels.models import Backbone, BackboneConfig, Layer, Stacked, load
from tests.systems.models.cases import WRITTEN, make, sequence


@pytest.mark.parametrize("cell", WRITTEN)
def test_a_config_survives_json(cell):
    config = make(cell, head="mean").config
    text = config.to_json()
    assert BackboneConfig.from_json(text) == config
    assert hash(BackboneConfig.from_dict(json.loads(text))) == hash(config)
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3


def test_a_name_and_a_class_are_layers():
    for cell in ("BMRU", nn.BMRU, Layer("BMRU")):
        assert BackboneConfig(1, 1, cell).cell == Layer("BMRU")
    assert Stacked("LRU", "BMRU") == Stacked(Layer("LRU"), Layer("BMRU"))
    ranged = Layer("MinGRU", gate_init=[-3.0, -1.0])
    assert ranged == Layer("MinGRU", gate_init=(-3.0, -1.0))
    data = {"input_size": 1, "output_size": 1, "cell": ["LRU", {"stack": ["LRU", "BMRU"]}]}
    assert BackboneConfig.from_dict(data).cell == (Layer("LRU"), Stacked("LRU", "BMRU"))


@pytest.mark.parametrize("cell", WRITTEN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_network_survives_its_file(cell, dtype, tmp_path):
    network = make(cell).to(dtype)
    network.save(tmp_path / "network.safetensors")
    drawn = torch.get_rng_state()
    other = load(tmp_path / "network.safetensors")
    assert torch.equal(drawn, torch.get_rng_state())
    assert other.config == network.config
    assert other.state_dict().keys() == network.state_dict().keys()
    for name, p in other.named_parameters():
        mine = network.get_parameter(name)
        assert p.dtype == dtype
        assert p.requires_grad == mine.requires_grad
        assert torch.equal(p, mine)
    x = sequence(network, 2, 6).to(dtype)
    assert torch.equal(other(x)[0], network(x)[0])
    other(x)[0].sum().backward()


def test_the_file_is_plain_safetensors(tmp_path):
    network = make("hybrid")
    path = tmp_path / "network"
    network.save(path)
    assert safetensors.torch.load_file(path).keys() == network.state_dict().keys()
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    config = json.loads(header["__metadata__"]["lrnn_kernels.backbone"])
    assert config["width"] == network.config.width


def test_annealing_goes_on_where_it_was(tmp_path):
    """eps is no parameter, and no longer that of the config."""
    network = make("hybrid")
    schedule = nn.EpsAnneal(network, hold=0, decay=4)
    schedule.step()
    network.save(tmp_path / "network")
    other = Backbone.load(tmp_path / "network")
    found = [layer.eps for layer in other.modules() if isinstance(layer, nn.BMRU)]
    assert found == [0.75, 0.75]
    x = sequence(network, 2, 6)
    assert torch.equal(other(x)[0], network(x)[0])


def test_without_safetensors_an_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for call in (make("BMRU").save, load):
        with pytest.raises(ImportError, match=r"pip install 'lrnn-kernels\[models\]'"):
            call(tmp_path / "network")


def test_another_file_is_refused(tmp_path):
    path = str(tmp_path / "other")
    safetensors.torch.save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"path must be a file that Backbone.save wrote"):
        load(path)
    network = make("BMRU")
    tensors = network.state_dict()
    del tensors["head.bias"]
    metadata = {"lrnn_kernels.backbone": network.config.to_json()}
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(RuntimeError, match=r"head\.bias"):
        load(path)
    with pytest.raises(TypeError, match="cell must be made of names, Layer and Stacked"):
        make("factory").save(path)


WRONG = {
    "width": ({"width": 0}, ValueError, "width must be at least 1, got 0"),
    "depth": ({"depth": 2.0}, TypeError, "depth must be an int, got float"),
    "head": ({"head": "first"}, ValueError, "head must be one of 'last', .*, got 'first'"),
    "mlp": ({"mlp": "tanh"}, ValueError, "mlp must be one of 'glu', .*, got 'tanh'"),
    "odd": ({"positions": 5}, ValueError, "positions must be even, .* got 5"),
    "negative": ({"conv": -1}, ValueError, "conv must be at least 0, got -1"),
    "half": ({"conv": 2.5}, TypeError, "conv must be an int, got float"),
    "bool": ({"positions": True}, TypeError, "positions must be an int, got bool"),
    "dropout": ({"dropout": 1.5}, ValueError, r"dropout must be in \[0, 1\], got 1.5"),
    "gate": ({"gate_bias": "open"}, TypeError, "gate_bias must be a number, got str"),
    "offsets": ({"position_offsets": 1}, TypeError, "position_offsets must be a bool, got int"),
    "no cell": ({"cell": ()}, ValueError, "cell must hold at least one layer"),
    "a number": ({"cell": 3}, TypeError, "cell must be the name of a layer, .* got 3"),
    "a name": ({"cell": "bmru"}, ValueError, "name must be one of BMRU, .*, got 'bmru'"),
    "no layer": ({"cell": "EpsAnneal"}, ValueError, "name must be one of BMRU, .*, got 'EpsAnneal"),
    "itself": (
        {"cell": nn.GRU(2, 7)},
        TypeError,
        r"got a GRU itself: 'GRU', or .*\('GRU', 7, ",
    ),
    "torch's": ({"cell": torch.nn.GRU}, TypeError, "cell must be the name of a layer, .* got <cl"),
}


@pytest.mark.parametrize("what", WRONG)
def test_errors_of_a_config(what):
    options, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        BackboneConfig(**{"input_size": 3, "output_size": 2, "cell": "BMRU", **options})


def test_errors_of_layers_and_data():
    with pytest.raises(TypeError, match="BMRU takes no option 'positive' here, only num_layers"):
        Layer("BMRU", positive=True)
    with pytest.raises(TypeError, match="BMRU takes no option 'batch_first' here"):
        Layer("BMRU", batch_first=False)
    with pytest.raises(TypeError, match=r"eps must be a number, a string, .* got Tensor"):
        Layer("BMRU", eps=torch.ones(()))
    with pytest.raises(ValueError, match="Stacked must have at least one layer"):
        Stacked()
    with pytest.raises(TypeError, match="layer 1 must be a Layer or a name, got Stacked"):
        Stacked("LRU", Stacked("LRU"))
    data = BackboneConfig(3, 2, "BMRU").to_dict()
    with pytest.raises(ValueError, match=r"data must hold arguments .* got \['size'\]"):
        BackboneConfig.from_dict({**data, "size": 3})
    with pytest.raises(ValueError, match="data must hold cell"):
        BackboneConfig.from_dict({"input_size": 1, "output_size": 1})
    with pytest.raises(ValueError, match="cell must be a name, or have the keys layer or stack"):
        BackboneConfig.from_dict({**data, "cell": {"name": "BMRU"}})
    with pytest.raises(TypeError, match="data must be a dict, got str"):
        BackboneConfig.from_dict("x")


def test_a_list_of_cells_is_a_tuple():
    given = [["LRU", "BMRU"], ("LRU", "BMRU")]
    assert len({BackboneConfig(1, 2, cell=cell) for cell in given}) == 1
