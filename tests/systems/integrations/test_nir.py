"""A graph of NIR computes, by Euler's steps, what the network does."""

import nir
import numpy as np
import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.integrations.nir import to_nir

DT = 1e-3


def _simulated(graph: nir.NIRGraph, x: np.ndarray, dt: float) -> np.ndarray:
    """The graph's outputs by Euler's steps of dt, for x (T,in): edges into a node are summed, and
    an integrator's map back to itself reads its state of the step before."""
    before = {name: np.zeros(node.r.size) for name, node in graph.nodes.items() if _holds(node)}
    found = []
    for now in x:
        done: dict[str, np.ndarray] = {}

        def value(name, now=now, done=done, before=before):
            if name not in done:
                done[name] = _value(graph, name, value, now, before, dt)
            return done[name]

        found.append(value("output"))
        before = {name: value(name) for name in before}
    return np.array(found)


def _holds(node: nir.NIRNode) -> bool:
    return isinstance(node, nir.I)


def _value(graph, name, value, now, before, dt):
    node = graph.nodes[name]
    if isinstance(node, nir.Input):
        return now
    sources = [a for a, b in graph.edges if b == name]
    if _holds(node):
        back = [a for a in sources if (name, a) in graph.edges]
        entered = sum(value(a) for a in sources if a not in back)
        entered = entered + sum(graph.nodes[a].weight @ before[name] for a in back)
        return before[name] + dt * node.r * entered
    entered = sum(value(a) for a in sources)
    if isinstance(node, nir.Scale):
        return node.scale * entered
    if isinstance(node, nir.Output):
        return entered
    return node.weight @ entered + (node.bias if isinstance(node, nir.Affine) else 0)


NETWORKS = {
    "one layer": lambda: nn.LRU(3, 5, bias=True),
    "as many inputs as units": lambda: nn.LRU(4, 4, r_min=0.9, r_max=0.999),
    "layers": lambda: nn.LRU(3, 4, num_layers=3),
    "a stack": lambda: nn.Stack(nn.LRU(3, 4), nn.LRU(4, 2, num_layers=2), output_size=6),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_euler_s_steps_are_the_network_s(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    x = torch.randn(50, network.input_size, dtype=torch.float64)
    want = network(x)[0].detach().numpy()
    got = _simulated(to_nir(network, dt=DT), x.numpy(), DT)
    np.testing.assert_allclose(got, want, atol=1e-10)


def test_linear_maps_around_it():
    torch.manual_seed(0)
    below, above = torch.nn.Linear(2, 3).double(), torch.nn.Linear(5, 1).double()
    memory, x = nn.LRU(3, 5).double(), torch.randn(30, 2, dtype=torch.float64)
    want = above(memory(below(x))[0]).detach().numpy()
    graph = to_nir(torch.nn.Sequential(below, torch.nn.Sequential(memory, above)), dt=1.0)
    np.testing.assert_allclose(_simulated(graph, x.numpy(), 1.0), want, atol=1e-10)
    assert graph.nodes["input"].input_type["input"].tolist() == [2]
    assert graph.nodes["output"].output_type["output"].tolist() == [1]


def test_a_file_holds_the_graph(tmp_path):
    torch.manual_seed(0)
    network, x = nn.LRU(3, 5).double(), torch.randn(20, 3, dtype=torch.float64)
    nir.write(tmp_path / "network.nir", to_nir(network, dt=DT))
    again = _simulated(nir.read(tmp_path / "network.nir"), x.numpy(), DT)
    np.testing.assert_allclose(again, network(x)[0].detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("layer", ["BMRU", "CMRU", "AlphaCMRU", "FQBMRU", "MinGRU", "SRC", "GRU"])
def test_what_nir_cannot_express_is_refused_by_name(layer):
    network = nn.Stack(nn.LRU(2, 4), getattr(nn, layer)(4, 4))
    with pytest.raises(TypeError, match=rf"network\[1\] is {layer} \(its memory is not linear\)"):
        to_nir(network, dt=DT)


def test_an_integer_network_is_for_vhdl():
    with pytest.raises(TypeError, match=r"is IntegerSRC .*, of which write_vhdl makes a circuit"):
        to_nir(nn.IntegerSRC(2, 3), dt=DT)


def test_errors_name_what_is_wrong():
    with pytest.raises(TypeError, match="network is Tanh"):
        to_nir(torch.nn.Tanh(), dt=DT)
    with pytest.raises(ValueError, match="dt"):
        to_nir(nn.LRU(2, 2), dt=0.0)
    with pytest.raises(ValueError, match="one direction"):
        to_nir(nn.LRU(2, 2, bidirectional=True), dt=DT)
    with pytest.raises(ValueError, match="initial_state='learned'"):
        to_nir(nn.LRU(2, 2, initial_state="learned"), dt=DT)
    with pytest.raises(ValueError, match=r"network\[1\] reads 3 channels.* gives 2"):
        to_nir(torch.nn.Sequential(nn.LRU(2, 2), torch.nn.Linear(3, 1)), dt=DT)
    with pytest.raises(ValueError, match="must have a layer"):
        to_nir(torch.nn.Sequential(), dt=DT)
