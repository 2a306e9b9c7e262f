"""The Triton engine: ``triton_kernels/populations.py``, on CUDA and HIP tensors, and on CPU tensors
in Triton's interpreter.

It has the default scheme alone, in float32 and float64.
"""

from __future__ import annotations

import importlib

from torch import Tensor

from ..backends import triton as backend


def missing(device: str, model: str, scheme: str) -> str:
    """Why the Triton engine cannot run on this type of device; empty where it can."""
    if why := backend.missing(device):
        return why
    if model not in _populations().NEURONS:
        return f"there is no Triton kernel of the model {model!r}"
    if scheme != "default":
        return f"there is no Triton kernel of the scheme {scheme!r}"
    return ""


def run(model: str, g: Tensor, *tensors: Tensor, scheme: str = "default", **options) -> None:
    """Advances B neurons in place; arguments as those of ``compiled.run``. Between launches of a
    fraction of a second it waits for the GPU, so that Ctrl-C leaves. Raises RuntimeError where it
    cannot run."""
    if why := missing(g.device.type, model, scheme):
        raise RuntimeError(f"the Triton engine of neurons cannot run: {why}")
    _populations().run(model, g, *tensors, **options)


def _populations():
    return importlib.import_module("lrnn_kernels.triton_kernels.populations")
