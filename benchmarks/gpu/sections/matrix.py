"""Cells with matrices: their CUDA kernels beside what the model predicts and beside the matrix
products alone, a step after another in a graph; and their layers beside torch's own, cuDNN's."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch

from lrnn_kernels import nn
from lrnn_kernels.backends import choose

from ...measure.matrix_passes import passes
from ...measure.results import Shape
from ...measure.timing import ratio
from .. import model, timing
from ..place import Limit, Place
from .machine import device

BACKEND = "cuda"
#: By their worth: one block an element, a group of several, many elements.
SHAPES: tuple[Shape, ...] = (
    (64, 784, 256),
    (8, 784, 64),
    (8, 784, 256),
    (132, 784, 256),
    (528, 784, 256),
    (33, 784, 256),
    (8, 784, 128),
)
LAYER_SHAPES: tuple[Shape, ...] = ((64, 784, 256), (32, 200, 64), (8, 512, 256))
SMALL: tuple[Shape, ...] = ((2, 3, 5),)
ROUNDS = 5
LAYER = "layer"
#: Layers that torch has, too, of the same weights.
LAYERS = [
    name
    for name in nn.__all__
    if getattr(getattr(nn, name), "takes_input", False) and hasattr(torch.nn, name)
]


def units(place: Place) -> list[tuple] | str:
    """(kernel, shape) and ("layer", name, shape)."""
    if BACKEND not in place.backends:
        return place.missing[BACKEND]
    names = place.pick(list(model.MATRIX_KERNELS), list(model.MATRIX_KERNELS)[:1])
    kernels = [(name, shape) for shape in place.pick(SHAPES, SMALL) for name in names]
    layers = [
        (LAYER, name, shape)
        for shape in place.pick(LAYER_SHAPES, SMALL)
        for name in place.pick(LAYERS, LAYERS[:1])
    ]
    most = len(names)  # layers before the shapes that are worth less
    return [*kernels[:most], *layers, *kernels[most:]]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits a row for each pass."""
    place.warm_up()
    if unit[0] == LAYER:
        _layer(place, unit[1], tuple(unit[2]), emit)
    else:
        _kernel(place, unit[0], tuple(unit[1]), emit)


def _kernel(place: Place, name: str, shape: Shape, emit) -> None:
    cases = {}
    row, options = model.MATRIX_KERNELS[name]
    operators = getattr(torch.ops, choose.BACKENDS[BACKEND].NAMESPACE)
    with torch.no_grad():
        both = passes(operators, name, row, options, shape, place.device)
        for direction, (call, alone) in both.items():
            cases[direction] = place.clock.prepare(call)
            cases[direction, "products"] = place.clock.prepare(alone)
        times = timing.interleave(cases, ROUNDS)
    try:
        _, seconds = model.predict_matrix(name, shape, device(place))
    except (OSError, RuntimeError):  # no C++ compiler
        seconds = float("nan")
    for direction in ("forward", "backward"):
        took = median(times[direction])
        by = ratio(times, (direction, "products"), direction)
        row = {"operator": name, "backend": BACKEND, "shape": shape, "dtype": "float32"}
        row |= {"direction": direction, "seconds": took, "us_a_step": took / shape[1] * 1e6}
        row |= {"products_by_ours": by, "model_seconds": seconds}
        emit(
            **row,
            text=f"{name} {list(shape)} {direction}: {took * 1e3:.3f} ms, "
            f"{row['us_a_step']:.2f} us a step, model {seconds * 1e3:.3f} ms either way; "
            f"products alone {by:.2f} of our time",
        )


def _layer(place: Place, name: str, shape: Shape, emit) -> None:
    """Ours, with its product with the input, and cuDNN's, with TF32 products and without."""
    B, T, C = shape
    x = torch.randn(B, T, C, device=place.device, requires_grad=True)
    dy = torch.randn(B, T, C, device=place.device)
    theirs = getattr(torch.nn, name)(C, C, batch_first=True).to(place.device)
    ours = getattr(nn, name)(C, C, batch_first=True, backend=BACKEND).to(place.device)
    ours.load_state_dict(theirs.state_dict())
    cases = {}
    asked = torch.backends.cudnn.allow_tf32
    layers = {"ours": (ours, False), "torch": (theirs, False), "torch, TF32": (theirs, True)}
    try:
        for who, (layer, tf32) in layers.items():
            for direction, call in _uses(layer, x, dy, tf32).items():
                cases[who, direction] = place.events.prepare(call)
        times = timing.interleave(cases, ROUNDS)
    finally:
        torch.backends.cudnn.allow_tf32 = asked
    for direction in ("forward", "training"):
        row = {"operator": name, "shape": shape, "dtype": "float32", "direction": direction}
        row |= {"seconds": median(times["ours", direction])}
        row |= {
            f"{who} by ours": ratio(times, (who, direction), ("ours", direction))
            for who in ("torch", "torch, TF32")
        }
        emit(
            **row,
            text=f"layer {name} {list(shape)} {direction}: {row['seconds'] * 1e3:.3f} ms; "
            f"torch's time by ours {row['torch by ours']:.2f}, with TF32 "
            f"{row['torch, TF32 by ours']:.2f}",
        )


def _uses(layer, x: torch.Tensor, dy: torch.Tensor, tf32: bool) -> dict[str, Callable]:
    leaves = [x, *layer.parameters()]

    def forward() -> None:
        torch.backends.cudnn.allow_tf32 = tf32
        with torch.no_grad():
            layer(x)

    def training() -> None:
        torch.backends.cudnn.allow_tf32 = tf32
        torch.autograd.grad(layer(x)[0], leaves, dy)

    return {"forward": forward, "training": training}
