"""Layers as ONNX files: one step for streaming, or a sequence.

from lrnn_kernels.integrations.onnx import export_step
export_step(nn.BMRU(28, 256), "step.onnx")

Needs onnx and onnxscript: pip install "lrnn-kernels[onnx]", which brings onnxruntime to run the
files, too. Raises ImportError without them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..calls import arguments
from ..extras import needs
from .plain import plain

with needs("lrnn_kernels.integrations.onnx", "onnx", "onnxscript", extra="onnx"):
    import onnx
    import onnxscript  # noqa: F401

__all__ = ["export_sequence", "export_step"]


def export_step(network: nn.Module, path: str | os.PathLike, *, x: Tensor | None = None) -> None:
    """Writes one time step of a layer, ``out, state = layer.step(x, state, reset)``, to an ONNX
    file.

    The network is a layer of lrnn_kernels.nn, a composition of them, or a module with such a step,
    of which torch's exporter must know the rest. Layers are computed by the readable definitions of
    their cells, in evaluation (no dropout) and with the parameters and options of now. All is in
    float32, as the exporter keeps the constants of a graph. The batch may have any size.

    Inputs of the model: ``x`` (B,input_size); ``reset`` (B,) bool; then ``state_0``, ``state_1``,
    ..., the tensors of the state in order, as step takes them. Outputs: ``out``, then
    ``next_state_0``, and so on. A sequence begins with reset set, and any state: the state before
    that step is the layer's initial one. A complex state (L,B,H), that of an LRU, is (L,B,H,2):
    torch.view_as_real of it, or in NumPy ``h.view(numpy.complex64)[..., 0]`` of what comes back.

    Args:
        network: where it has no ``input_size``, or takes something other than its type, x says what
            it takes.
        path: of the file.
        x (keyword): (B,...) with B > 1, an example.

    Raises TypeError or ValueError for wrong arguments, and RuntimeError for a bidirectional layer
    or one whose time is split over processes.
    """
    onnx.save(_step_model(network, x), os.fspath(path))


def export_sequence(
    network: nn.Module, path: str | os.PathLike, *, x: Tensor | None = None
) -> None:
    """Writes a whole sequence, ``out, state = layer(x, state, reset)``, to an ONNX file: a Scan
    whose body is the step of ``export_step``, with the same names.

    ``x`` is (T,B,input_size), or (B,T,input_size) where the network's batch_first is True;
    ``reset`` and ``out`` are in the same order, states as there. B and T may have any size. All of
    a step is in the loop, the products of the input too: this is for convenience, not for speed.

    Arguments and errors are those of ``export_step``; its x, too, is that of one step.
    """
    step = _step_model(network, x)
    time = 1 if getattr(network, "batch_first", False) else 0
    onnx.save(_scanned(step, time), os.fspath(path))


class _Step(nn.Module):
    """A network's step with its state as a flat list of tensors; state is one, for its form."""

    def __init__(self, network: nn.Module, state: object) -> None:
        super().__init__()
        self.network = network
        leaves, self.form = pytree.tree_flatten(state)
        self.held = [isinstance(leaf, Tensor) for leaf in leaves]  # others are None

    def forward(self, x: Tensor, reset: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        given = iter(states)
        leaves = [next(given) if held else None for held in self.held]
        state = pytree.tree_unflatten(leaves, self.form)
        out, after = self.network.step(x, state, reset)
        return out, *_tensors(after)


def _tensors(state: object) -> list[Tensor]:
    """A state's, in order; parts that a network does without are None."""
    return [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]


@torch.no_grad()
def _step_model(network: nn.Module, x: Tensor | None) -> onnx.ModelProto:
    if not isinstance(network, nn.Module) or not hasattr(network, "step"):
        raise TypeError(f"network must be a module with a step, got {type(network).__name__}")
    x = _example(network, x)
    done = plain(network).to(x.device)
    _, state = done.step(x)
    _, twice = done.step(torch.cat([x, x]))
    states = _tensors(state)
    batch = [_batch_of(*pair) for pair in zip(states, _tensors(twice), strict=True)]
    reset = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
    count = range(len(states))
    with _quiet():
        program = torch.onnx.export(
            _Step(done, state).eval(),
            (x, reset, *states),
            dynamo=True,
            verbose=False,
            input_names=["x", "reset", *(f"state_{k}" for k in count)],
            output_names=["out", *(f"next_state_{k}" for k in count)],
            dynamic_shapes=({0: "B"}, {0: "B"}, tuple({dim: "B"} for dim in batch)),
        )
    model = program.model_proto
    onnx.checker.check_model(model)
    return model


def _example(network: nn.Module, x: Tensor | None) -> Tensor:
    if x is None:
        if not hasattr(network, "input_size"):
            raise ValueError(
                f"x must be given for a {type(network).__name__}, which has no input_size"
            )
        like = next(network.parameters())
        x = torch.zeros(2, network.input_size, dtype=like.dtype, device=like.device)
    arguments.tensor("x", x)
    if x.dim() == 0 or x.shape[0] < 2:
        raise ValueError(f"x must have a batch of at least 2, got {arguments.shape(x)}")
    if x.dtype.is_floating_point and x.dtype != torch.float32:
        raise TypeError(f"network and x must be of float32, got {x.dtype}; network.float() is")
    return x


def _batch_of(state: Tensor, twice: Tensor) -> int:
    """The dimension of a state that grows with the batch."""
    return next(d for d in range(state.dim()) if state.shape[d] != twice.shape[d])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on what concerns it alone."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _scanned(step: onnx.ModelProto, time: int) -> onnx.ModelProto:
    """A step as the body of a Scan over dimension ``time`` of x, reset and out."""
    names = [[value.name for value in values] for values in (step.graph.input, step.graph.output)]
    inputs = [_over_time(value, time) for value in step.graph.input[:2]]
    inputs += step.graph.input[2:]
    outputs = [_over_time(step.graph.output[0], time), *step.graph.output[1:]]
    # A body sees what is around it, so that its names must be others.
    body = onnx.compose.add_prefix(step, "step/").graph
    x, reset, *states = body.input
    out, *after = body.output
    inner = onnx.helper.make_graph(body.node, "step", [*states, x, reset], [*after, out])
    scan = onnx.helper.make_node(
        "Scan",
        [*names[0][2:], *names[0][:2]],
        [*names[1][1:], names[1][0]],
        "scan",
        body=inner,
        num_scan_inputs=2,
        scan_input_axes=[time, time],
        scan_output_axes=[time],
    )
    graph = onnx.helper.make_graph([scan], "sequence", inputs, outputs, list(body.initializer))
    model = onnx.helper.make_model(
        graph,
        ir_version=step.ir_version,
        opset_imports=step.opset_import,
        functions=step.functions,
    )
    onnx.checker.check_model(model)
    return model


def _over_time(value: onnx.ValueInfoProto, time: int) -> onnx.ValueInfoProto:
    """A tensor of one step as that of a sequence."""
    kind = value.type.tensor_type
    shape = [d.dim_param or d.dim_value for d in kind.shape.dim]
    shape.insert(time, "T")
    return onnx.helper.make_tensor_value_info(value.name, kind.elem_type, shape)
