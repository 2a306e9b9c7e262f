"""Networks in the Neuromorphic Intermediate Representation.

from lrnn_kernels.integrations.nir import to_nir
nir.write("network.nir", to_nir(nn.LRU(28, 64), dt=1e-3))

Needs nir: pip install "lrnn-kernels[nir]". Raises ImportError without it.
"""

from __future__ import annotations

from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from ..extras import needs
from ..nn import LRU, IntegerSRC, Recurrent, Stack, ranks
from ..options import number

with needs("lrnn_kernels.integrations.nir", "nir", extra="nir"):
    import nir

__all__ = ["to_nir"]


def to_nir(network: nn.Module, *, dt: float) -> nir.NIRGraph:
    """The network as a graph of NIR's primitives, which ``nir.write`` puts into a file (Pedersen et
    al. 2024, "Neuromorphic intermediate representation").

    What NIR can express are networks in which all memory is linear: torch.nn.Linear, LRU of one
    direction that begins at zero, and Stack and torch.nn.Sequential of these (a Sequential's layers
    are what they are in a graph: of an LRU, its outputs). NIR describes continuous time, and an LRU
    takes steps. The graph holds the equation of which Euler's steps of dt are the LRU's,

        h' = (lambda - 1) / dt h + exp(gamma) B x / dt

    in 2H integrators, real parts before imaginary ones, that feed back through a linear map: a
    simulator gives the network's outputs where it takes those steps, each integrator reading what
    enters it now and its own state of the step before.

    Args:
        network: of one sequence, without a batch.
        dt (keyword): seconds between two steps.

    Raises TypeError, naming the module, where NIR has no primitive: the latches (BMRU, CMRU,
    AlphaCMRU, FQBMRU), gated cells and the SRC, whose neurons spike by their own feedback, not by a
    threshold that resets a membrane. Raises ValueError for an LRU of two directions or with a
    learned initial state, and RuntimeError where its time is split over processes.
    """
    dt = number("dt", dt, 0.0, float("inf"), open_low=True)
    graph = _Graph(dt)
    width, ends = graph.add(network, "network", None, [])
    nodes, edges = graph.nodes, graph.edges
    nodes["output"] = nir.Output(np.array([width]))
    edges += [(end, "output") for end in ends]
    return nir.NIRGraph(nodes, edges)


class _Graph:
    """Nodes and edges so far; edges that meet in a node are summed there."""

    def __init__(self, dt: float) -> None:
        self.dt = dt
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self._maps, self._memories = count(), count()

    def add(
        self, module: nn.Module, where: str, width: int | None, ends: list[str]
    ) -> tuple[int, list[str]]:
        """A module that reads what nodes ``ends`` give, in sum: the width of what it gives, and the
        nodes that do."""
        if isinstance(module, (nn.Sequential, Stack)):
            named = module.layers if isinstance(module, Stack) else module
            members = [(f"{where}[{k}]", one) for k, one in enumerate(named)]
            if isinstance(module, Stack) and module.output is not None:
                members.append((f"{where}.output", module.output))
            if not members:
                raise ValueError(f"{where} must have a layer, got an empty {type(module).__name__}")
            for name, one in members:
                width, ends = self.add(one, name, width, ends)
            return width, ends
        if isinstance(module, nn.Linear):
            read, add = module.in_features, self._linear
        elif isinstance(module, LRU):
            _refuse(module, where)
            read, add = module.input_size, self._lru
        else:
            kind = type(module).__name__
            why = "its memory is not linear" if isinstance(module, Recurrent) else "not known here"
            other = "which lrnn_kernels.integrations.onnx may export"
            if isinstance(module, IntegerSRC):
                why, other = "its memory is not linear", "of which write_vhdl makes a circuit"
            raise TypeError(
                f"NIR can express torch.nn.Linear, LRU, and Stack and Sequential of them; {where} "
                f"is {kind} ({why}), {other}"
            )
        if width is None:
            self.nodes["input"] = nir.Input(np.array([read]))
            ends = ["input"]
        elif width != read:
            raise ValueError(f"{where} reads {read} channels, but what is before it gives {width}")
        return add(module, ends)

    def _put(self, name: str, node: nir.NIRNode, ends: list[str]) -> str:
        self.nodes[name] = node
        self.edges += [(end, name) for end in ends]
        return name

    def _linear(self, module: nn.Linear, ends: list[str]) -> tuple[int, list[str]]:
        name = f"linear_{next(self._maps)}"
        return module.out_features, [self._put(name, _map(module.weight, module.bias), ends)]

    def _lru(self, layer: LRU, ends: list[str]) -> tuple[int, list[str]]:
        H = layer.hidden_size
        for k in range(layer.num_layers):
            p = {name: q.detach().double() for name, q in layer._parameters_of(k, False).items()}
            name = f"lru_{next(self._memories)}"
            (lam,) = layer._scan_params(p)
            weight = p["weight_ih"].unflatten(0, (2, H)) * (p["gamma"].exp() / self.dt)[:, None]
            A = torch.diag((lam - 1) / self.dt)
            feedback = torch.cat([torch.cat([A.real, -A.imag], 1), torch.cat([A.imag, A.real], 1)])
            reads = self._put(f"{name}_b", _map(weight.flatten(0, 1)), ends)
            h = self._put(f"{name}_h", nir.I(np.ones(2 * H)), [reads])
            self.edges.append((self._put(f"{name}_a", _map(feedback), [h]), h))
            skip = p["skip"]
            d = nir.Scale(skip.cpu().numpy()) if skip.dim() == 1 else _map(skip)
            ends = [
                self._put(f"{name}_c", _map(p["weight_ho"], p.get("bias_ho")), [h]),
                self._put(f"{name}_d", d, ends),
            ]
        return H, ends


def _refuse(layer: LRU, where: str) -> None:
    ranks.refuse(layer, "an export")
    if layer.bidirectional:
        raise ValueError(f"{where} must have one direction, got a bidirectional LRU")
    if layer.initial_state != "zero":
        raise ValueError(
            f"{where} must begin at zero, as NIR's nodes do, got initial_state="
            f"{layer.initial_state!r}"
        )


def _map(weight: Tensor, bias: Tensor | None = None) -> nir.Linear | nir.Affine:
    matrix = weight.detach().cpu().numpy()
    return nir.Linear(matrix) if bias is None else nir.Affine(matrix, bias.detach().cpu().numpy())
