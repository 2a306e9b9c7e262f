"""The Triton engine, ``triton_kernels/populations.py``: CUDA and HIP tensors, and CPU tensors in
Triton's interpreter, for tests.
"""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from ..backends import triton


def missing() -> str:
    """Why the Triton engine cannot run, on a device that Triton serves; empty where it can."""
    return triton.failure()


def lacks(model: str) -> str:
    """Why it cannot run a model; empty where it can. Asked after ``missing``."""
    return "" if model in _populations().NEURONS else f"the model {model!r} has no Triton kernel"


def run(model: str, g: Tensor, *tensors: Tensor, scheme: str = "default", **options) -> None:
    """Advances B neurons in place; arguments as those of ``compiled.run``. Between launches of a
    fraction of a second it waits for the GPU, so that Ctrl-C leaves. Raises RuntimeError where it
    cannot run."""
    if why := triton.missing(g.device.type) or missing() or lacks(model):
        raise RuntimeError(f"the Triton engine of neurons cannot run: {why}")
    as_written = scheme == "exponential_euler"
    _populations().run(model, g, *tensors, as_written=as_written, **options)


def _populations() -> ModuleType:
    """The kernels, which need triton, once they are known to be there."""
    from ..triton_kernels import populations

    return populations
