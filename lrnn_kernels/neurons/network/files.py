"""A network in one safetensors file: nothing is pickled."""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path

import torch

from ...extras import needs
from .. import arguments
from ..model import Model
from . import adapters

WEIGHTS = Path(__file__).parent / "weights"
#: The key of the file's metadata.
_KEY = "lrnn_kernels.dicsnet"


def _safetensors():
    with needs("a file of DICsNet", "safetensors", extra="neurons"):
        import safetensors.torch
    return safetensors


def save(net: torch.nn.Module, path: str | PathLike) -> None:
    library = _safetensors()
    tensors = {name: x.detach().contiguous() for name, x in net.state_dict().items()}
    about = {"rank": adapters.rank_of(net), "provenance": net.provenance}
    library.torch.save_file(tensors, fspath(path), {"format": "pt", _KEY: json.dumps(about)})


def load(cls: type, path: str | PathLike, device: torch.device | str):
    library = _safetensors()
    try:
        with library.safe_open(fspath(path), framework="pt", device=str(device)) as file:
            about = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except library.SafetensorError as error:
        raise ValueError(
            f"path must be a safetensors file, got {fspath(path)!r}: {error}"
        ) from None
    if about is None:
        raise ValueError(f"path must be a file that DICsNet.save wrote, got {fspath(path)!r}")
    about = json.loads(about)
    net = cls()
    if about["rank"]:
        net.lora(about["rank"])
    net.load_state_dict(tensors, assign=True)
    net.provenance = about["provenance"]
    return net.eval()


def known() -> list[str]:
    """The names of the models whose weights come with this package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def pretrained(cls: type, model: Model | str, device: torch.device | str):
    name = arguments.model(model).name
    if name not in known():
        raise ValueError(
            f"model must be one of {', '.join(known())}, got {name!r}: this package has no weights "
            "of others, DICsNet.load reads yours"
        )
    return load(cls, WEIGHTS / f"{name}.safetensors", device)
