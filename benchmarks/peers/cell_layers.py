"""Layers that others published of cells that we have: BRC and nBRC, minGRU, LRU."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .peer import Case, Passes, Peer, Tensors, of_layer
from .problems import parameters


def _loaded(
    layer: torch.nn.Module, names: Callable[[Tensors], Tensors], case: Case
) -> torch.nn.Module:
    layer.load_state_dict(names(parameters(case)), strict=False)
    return layer


# BRC and nBRC.


def _brc_names(values: Tensors) -> Tensors:
    """brc-pytorch's: products from the left, r for a and z for c."""
    a, c, h = values["weight_ih_l0"].chunk(3)
    b_a, b_c = values["bias_ih_l0"].chunk(2)
    kernels = {"kernelr": a.t(), "kernelz": c.t(), "kernelh": h.t()}
    memory = {"memoryr": values["w_a_l0"].t(), "memoryz": values["w_c_l0"].t()}
    both = {name: values[name] for name in ("y", "x") if name in values}
    return {**both, **kernels, **memory, "br": b_a, "bz": b_c}


def _brc(name: str) -> Callable[[Case], Mapping[str, Passes]]:
    def make(case: Case) -> Mapping[str, Passes]:
        from brc_pytorch import layers

        C = case.dy.shape[-1]
        cell = _loaded(getattr(layers, name)(C, C), _brc_names, case)
        run = layers.MultiLayerBase(
            "BRC", [cell], C, batch_first=True, return_sequences=True, device=torch.device("cpu")
        )
        return {"": of_layer(cell, lambda x: run(x)[0], case.inputs["x"], case.dy)}

    return make


# minGRU.


def _min_gru_names(values: Tensors) -> Tensors:
    k, v = values["weight_ih_l0"].chunk(2)
    both = {name: values[name] for name in ("y", "x") if name in values}
    return {**both, "to_hidden_and_gate.weight": torch.cat([v, k])}


def _min_gru(case: Case) -> Mapping[str, Passes]:
    from minGRU_pytorch import minGRU

    layer = _loaded(minGRU(case.dy.shape[-1]), _min_gru_names, case)
    return {"": of_layer(layer, layer, case.inputs["x"], case.dy)}


# LRU.


def _lru_names(values: Tensors) -> Tensors:
    """Complex matrices, of which ours are the real planes; C's imaginary one has a minus."""
    B_re, B_im = values["weight_ih_l0"].chunk(2)
    C_re, C_im = values["weight_ho_l0"].chunk(2, 1)
    both = {name: values[name] for name in ("y", "x") if name in values}
    logs = {f"{name}_log": values[f"{name}_l0"] for name in ("nu", "theta", "gamma")}
    matrices = {"B": torch.complex(B_re, B_im), "C": torch.complex(C_re, -C_im)}
    return {**both, **logs, **matrices, "D": values["skip_l0"]}


def _lru(case: Case) -> Mapping[str, Passes]:
    from LRU_pytorch import LRU

    x, C = case.inputs["x"], case.dy.shape[-1]
    layer = _loaded(LRU(x.shape[-1], C, C), _lru_names, case)

    def y(x: Tensor) -> Tensor:
        layer.state = torch.zeros(C, dtype=torch.complex64)
        return layer(x)

    return {"": of_layer(layer, y, x, case.dy)}


PEERS = [
    *(
        Peer(
            "brc-pytorch",
            problem,
            f"{name} in its MultiLayerBase, a loop over steps in Python",
            _brc(name),
            ("brc-pytorch",),
            ("brc_pytorch.layers",),
            _brc_names,
        )
        for problem, name in (
            ("nn.BRC", "BistableRecurrentCell"),
            ("nn.NBRC", "NeuromodulatedBistableRecurrentCell"),
        )
    ),
    Peer(
        "minGRU-pytorch",
        "nn.MinGRU(positive=True, bias=False)",
        "minGRU, a cumulative sum of logarithms (Heinsen's scan), which costs digits",
        _min_gru,
        ("minGRU-pytorch",),
        ("minGRU_pytorch",),
        _min_gru_names,
        tolerance=1e-2,
    ),
    Peer(
        "LRU-pytorch",
        "nn.LRU",
        "LRU, a loop in Python over sequences and steps",
        _lru,
        ("LRU-pytorch",),
        ("LRU_pytorch",),
        _lru_names,
    ),
]
