"""Layers as ONNX files give in another runtime what they give here."""

import copy
import importlib
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils import _pytree as pytree

from lrnn_kernels import agents, models, nn
from lrnn_kernels.integrations.onnx import export_sequence, export_step
from tests.layers.cases import LAYERS, make

#: Layers that copy or add values: equal to the last bit.
EXACT = ("BMRU", "CMRU")
#: Sums in another order, and exponentials of another library.
ROUNDING = {"rtol": 3e-5, "atol": 3e-6}


def _real(state) -> list[torch.Tensor]:
    leaves = pytree.tree_leaves(state)
    return [torch.view_as_real(h) if h.is_complex() else h for h in leaves]


def _random_state(network):
    """The state of a batch of 5, with other numbers in it."""
    _, state = network.step(torch.zeros(5, 3))
    return pytree.tree_map(torch.randn_like, state)


def _feed(x, reset, state) -> dict[str, np.ndarray]:
    states = {f"state_{k}": h for k, h in enumerate(_real(state))}
    return {name: h.numpy() for name, h in {"x": x, "reset": reset, **states}.items()}


def _compare(path, feed, out, state, exact=False):
    session = onnxruntime.InferenceSession(path)
    assert [i.name for i in session.get_inputs()] == list(feed)
    got = session.run(None, feed)
    want = [h.numpy() for h in [out, *_real(state)]]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, **ROUNDING)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", LAYERS)
def test_a_step_is_the_layers(name, tmp_path):
    layer = make(name, 3, 4, num_layers=2, dtype=torch.float32).eval()
    torch.manual_seed(1)
    x, state = torch.randn(5, 3), _random_state(layer)
    reset = torch.tensor([True, False, False, True, False])
    export_step(layer, tmp_path / "step.onnx")
    out, after = layer.step(x, state, reset)
    _compare(tmp_path / "step.onnx", _feed(x, reset, state), out, after, name in EXACT)


class _Policy(torch.nn.Module):
    """A module of a user's own around a layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.layer = torch.nn.Linear(3, 4), nn.MinGRU(4, 4)
        self.head = torch.nn.Linear(4, 2)

    def step(self, x, state=None, reset=None):
        y, state = self.layer.step(self.embedding(x), state, reset)
        return self.head(y), state


NETWORKS = {
    "hybrid": lambda: nn.Stack(nn.LRU(3, 4), torch.nn.GRU(4, 4), nn.BMRU(4, 5), output_size=2),
    "both": lambda: nn.Parallel(nn.SRC(3, 4), nn.LSTM(3, 4)),
    "policy": _Policy,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_a_network(name, tmp_path):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    x, state = torch.randn(5, 3), _random_state(network)
    reset = torch.tensor([True, False, False, True, False])
    export_step(network, tmp_path / "step.onnx", x=torch.zeros(2, 3))
    out, after = network.step(x, state, reset)
    _compare(tmp_path / "step.onnx", _feed(x, reset, state), out, after)


@pytest.mark.parametrize("acts", [{"actions": 4}, {"action_size": 2}], ids=["one of", "real"])
def test_a_step_of_an_agents_policy(acts, tmp_path):
    """Which says itself what it reads."""
    torch.manual_seed(0)
    encoder = torch.nn.Linear(3, 4)
    memory = nn.CMRU(4, 5, batch_first=True)
    policy = agents.Policy(memory, **acts, encoder=encoder, observation_size=3)
    x, state = torch.randn(5, 3), _random_state(policy)
    reset = torch.tensor([True, False, False, True, False])
    export_step(policy, tmp_path / "step.onnx")
    logits, after = policy.step(x, state, reset)
    _compare(tmp_path / "step.onnx", _feed(x, reset, state), logits, after)


BACKBONES = {
    "mean": {"head": "mean"},
    "last": {"head": "last", "positions": 0},
    "windows": {"head": "steps", "conv": 3, "cell": ("LRU", "BMRU")},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_steps_of_a_backbone(name, tmp_path):
    """Whose state counts steps too, and has parts that are None where it does without."""
    torch.manual_seed(0)
    given = {"cell": "CMRU", "width": 8, "depth": 2, **BACKBONES[name]}
    network = models.Backbone(models.BackboneConfig(3, 5, **given)).eval()
    export_step(network, tmp_path / "step.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx")
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    states = {
        i.name: np.zeros([d if isinstance(d, int) else 4 for d in i.shape], kinds[i.type])
        for i in session.get_inputs()[2:]
    }
    state, reset = None, torch.ones(4, dtype=torch.bool)
    for t in range(7):
        x = torch.randn(4, 3)
        want, state = network.step(x, state, reset)
        got, *after = session.run(None, {"x": x.numpy(), "reset": reset.numpy(), **states})
        np.testing.assert_allclose(got, want.numpy(), **ROUNDING)
        states = dict(zip(states, after, strict=True))
        reset = torch.tensor([False, t == 2, False, False])


@pytest.mark.parametrize("name", ["BMRU", "LRU", "SRC"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_sequence_is_the_layers(name, batch_first, tmp_path):
    layer = make(name, 3, 4, dtype=torch.float32, batch_first=batch_first)
    path = tmp_path / "sequence.onnx"
    export_sequence(layer, path)
    for T in (1, 10):  # an SRC's spikes amplify the rounding of one step in those after it
        x, state = torch.randn(T, 5, 3), _random_state(layer)
        reset = torch.rand(T, 5) < 0.2
        if batch_first:
            x, reset = x.transpose(0, 1).contiguous(), reset.t().contiguous()
        out, after = layer(x, state, reset)
        _compare(path, _feed(x, reset, state), out, after, name in EXACT)


def test_a_sequence_begins_with_a_reset(tmp_path):
    """The state before is then the layer's own, and not that which was given, though it be nan."""
    layer = nn.AlphaCMRU(3, 4)
    export_sequence(layer, tmp_path / "sequence.onnx")
    x, reset = torch.randn(7, 2, 3), torch.zeros(7, 2, dtype=torch.bool)
    reset[0] = True
    feed = _feed(x, reset, torch.full((1, 2, 4), torch.nan))
    _compare(tmp_path / "sequence.onnx", feed, *layer(x))


def test_an_export_leaves_the_layer_as_it_was(tmp_path):
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    before = copy.deepcopy(layer.state_dict())
    export_step(layer, tmp_path / "step.onnx")
    assert layer.training
    assert layer.backend == "auto"
    assert "step" not in vars(layer)
    assert all(p.requires_grad for p in layer.parameters())
    assert all(torch.equal(p, before[name]) for name, p in layer.state_dict().items())


@pytest.mark.parametrize(
    ("network", "x", "error", "message"),
    [
        (
            torch.nn.Linear(3, 4),
            None,
            TypeError,
            "network must be a module with a step, got Linear",
        ),
        (nn.GRU(3, 4, bidirectional=True), None, RuntimeError, "one direction"),
        (nn.GRU(3, 4), torch.zeros(1, 3), ValueError, "batch of at least 2"),
        (nn.GRU(3, 4, dtype=torch.bfloat16), None, TypeError, "float32"),
    ],
)
def test_what_cannot_be_exported_is_refused(network, x, error, message, tmp_path):
    for export in (export_step, export_sequence):
        with pytest.raises(error, match=message):
            export(network, tmp_path / "step.onnx", x=x)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_without_the_extra_its_name_is_said(missing, monkeypatch):
    monkeypatch.delitem(sys.modules, export_step.__module__)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs {missing}: pip install 'lrnn-kernels\[onnx\]'"):
        importlib.import_module(export_step.__module__)
