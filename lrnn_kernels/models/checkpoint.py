"""A network in one file: parameters in safetensors, the config beside them. Nothing is pickled."""

from __future__ import annotations

import json
from os import PathLike, fspath

import torch

from ..extras import needs
from ..nn.anneal import Annealed
from .config import BackboneConfig

#: Keys of the file's metadata.
CONFIG, EPS = "lrnn_kernels.backbone", "lrnn_kernels.eps"


def _safetensors():
    with needs("a checkpoint", "safetensors", extra="models"):
        import safetensors.torch
    return safetensors


def save(network: torch.nn.Module, config: BackboneConfig, path: str | PathLike) -> None:
    """Writes ``Backbone.save``'s file."""
    # Of all that a layer is made with, training changes this alone, see EpsAnneal.
    layers = network.named_modules()
    eps = {name: layer.eps for name, layer in layers if isinstance(layer, Annealed)}
    write(network, {CONFIG: config.to_json(), EPS: json.dumps(eps)}, path)


def read(path: str | PathLike, device) -> tuple[BackboneConfig, dict, dict[str, float]]:
    """(config, state_dict, eps of each layer that has one) of a file."""
    metadata, tensors = parts(path, device, CONFIG, "Backbone.save")
    config = BackboneConfig.from_json(metadata[CONFIG])
    return config, tensors, json.loads(metadata.get(EPS, "{}"))


def restore(network: torch.nn.Module, tensors: dict, eps: dict[str, float]) -> None:
    """Puts what was read in the place of a network's parameters, dtypes and devices included."""
    network.load_state_dict(tensors, assign=True)
    for name, value in eps.items():
        network.get_submodule(name).eps = value


def write(network: torch.nn.Module, metadata: dict[str, str], path: str | PathLike) -> None:
    """Writes a network's state_dict, and texts by their keys."""
    library = _safetensors()
    tensors = {name: x.detach().contiguous() for name, x in network.state_dict().items()}
    library.torch.save_file(tensors, fspath(path), {"format": "pt", **metadata})


def parts(path: str | PathLike, device, key: str, writer: str) -> tuple[dict[str, str], dict]:
    """(texts, state_dict) of a file, which must have a text of this key: that of its writer."""
    library = _safetensors()
    with library.safe_open(fspath(path), framework="pt", device=str(device)) as file:
        metadata = file.metadata() or {}
        if key not in metadata:
            raise ValueError(
                f"path must be a file that {writer} wrote, got {fspath(path)!r} without a config "
                "in its metadata"
            )
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    return metadata, tensors
