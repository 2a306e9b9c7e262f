"""The Triton kernels as operators, ``torch.ops.lrnn_triton``: the C++ schemas under another name.

Plain operators, not ``triton_op``: torch.compile has nothing to gain from seeing into a scan, the
interpreter cannot be traced, and with one schema the fakes and batching rules of the C++ operators
serve these too.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor

from ..backends import maps
from ..backends import operators as torch_operators
from ..backends.operators import NAMESPACE_TRITON as NAMESPACE
from .cells import CELLS
from .launch import Launch, make_call, on_device

_libraries: list[torch.library.Library] = []  # an operator lives as long as its library object


def register() -> None:
    """Defines every operator for CPU (the interpreter) and CUDA or HIP tensors."""
    library = torch.library.Library(NAMESPACE, "DEF")
    _libraries.append(library)
    for kernel in CELLS:
        torch_operators.define(library, kernel)
        for key in ("CPU", "CUDA"):  # HIP tensors have CUDA's dispatch key
            library.impl(kernel, partial(forward, kernel), key)
            library.impl(f"{kernel}_backward", partial(backward, kernel), key)
    for kernel in torch_operators.mapped():
        torch_operators.define_map(library, NAMESPACE, kernel)
        for key in ("CPU", "CUDA"):
            library.impl(kernel + torch_operators.MAP, partial(map_of, kernel), key)
    torch_operators.register(NAMESPACE, CELLS)
    torch_operators.register_varying(NAMESPACE, CELLS)


@lru_cache
def _processors_of(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU; 0 for the CPU, where the interpreter runs one program at a time."""
    return 0 if device.type == "cpu" else _processors_of(device)


def plan(kernel: str, inputs: list[Tensor], params: list[Tensor]) -> tuple[int, int]:
    """Channels and steps of a program of a forward pass."""
    call = make_call(
        kernel, inputs, params, [], None, None, None, False, processors(inputs[0].device)
    )
    return call.plan.block, min(call.plan.steps, call.T)


def forward(
    kernel: str, inputs, params, options, h0, reset, h_reset, reverse, save
) -> tuple[Tensor, Tensor, Tensor]:
    """(y, h_last, saved)."""
    device = inputs[0].device
    call = make_call(
        kernel, inputs, params, options, h0, reset, h_reset, reverse, processors(device)
    )
    outputs, launches = call.forward(save)
    _run(launches, device)
    return outputs


def backward(
    kernel: str, inputs, params, options, h0, reset, h_reset, reverse, states, dy, dh_last
) -> list[Tensor]:
    """Gradients of inputs, params, h0 and h_reset (empty where there is none)."""
    device = inputs[0].device
    call = make_call(
        kernel, inputs, params, options, h0, reset, h_reset, reverse, processors(device)
    )
    expected = call.reads()
    if expected and (states is None or states.shape != expected):
        what = "y" if expected == call.y_shape else "what was saved"
        raise ValueError(f"{kernel}_backward: states must be {what} of the forward pass")
    (*streams, dh0), sums, launches = call.backward(states, dy, dh_last)
    _run(launches, device)
    totals = [call.total(like, partial) for like, partial in sums]
    if not call.at_reset:
        totals.append(call.new(0))
    return [*streams, *totals[:-1], dh0, totals[-1]]


def map_of(
    kernel: str, inputs, params, options, reset, h_reset, reverse, backward, dy
) -> tuple[Tensor, Tensor]:
    """(scale, offset) of the sequence as a whole."""
    device = inputs[0].device
    call = make_call(
        kernel, inputs, params, options, None, reset, h_reset, reverse, processors(device)
    )
    (scales, _), (offsets, _), launch = call.summarize(backward, call.optional(dy))
    _run([launch], device)
    shape = call.B, call.plan.chunks
    rows = [x.unflatten(0, shape).transpose(0, 1) for x in (scales, offsets)]
    if call.planes == 1:
        return tuple(x.squeeze(1) for x in maps.total(*rows))
    scale, offset = maps.total(*(torch.complex(*x.unbind(2)) for x in rows))
    if call.split:
        return tuple(torch.cat([x.real, x.imag], -1) for x in (scale, offset))
    return scale, offset


def _run(launches: list[Launch], device: torch.device) -> None:
    with on_device(device):
        for one in launches:
            one.run()
