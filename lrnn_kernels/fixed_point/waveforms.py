"""States as files: CSV for scripts, VCD for waveform viewers."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from . import arguments
from .network import NetworkStates, States
from .reference import CLASSES

NAMES = tuple(field.name for field in fields(States))


def write_csv(path: str | os.PathLike, states: States | NetworkStates) -> None:
    """Writes one line per step, layer and neuron: step, layer, neuron, I, X, z, u, h, h_s, spike (0
    or 1).

    Raises TypeError and ValueError for states that are not as ``States`` and ``NetworkStates``
    describe them, before there is a file.
    """
    layers, _ = _checked(states)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "layer", "neuron", *NAMES])
        for step in range(len(layers[0].I)):
            for number, layer in enumerate(layers):
                columns = [getattr(layer, name)[step].astype(int).tolist() for name in NAMES]
                writer.writerows(
                    [step, number, neuron, *row]
                    for neuron, row in enumerate(zip(*columns, strict=True))
                )


def write_vcd(path: str | os.PathLike, states: States | NetworkStates) -> None:
    """Writes a value change dump (IEEE 1364), one nanosecond a step.

    Scopes are layer0.neuron0 and so on, with I, X, z, u, h and h_s as signed 16-bit vectors and
    spike as a wire; a network's votes are read_out.class0 and so on, 32 bits. Raises as
    ``write_csv`` does.
    """
    signals = list(_signals(states))
    names = [_identifier(number) for number in range(len(signals))]
    lines = ["$timescale 1 ns $end"]
    scope: tuple[str, ...] = ()
    for name, (path_of, variable, width, _) in zip(names, signals, strict=True):
        if path_of != scope:
            shared = next(
                (i for i, (a, b) in enumerate(zip(scope, path_of, strict=False)) if a != b),
                min(len(scope), len(path_of)),
            )
            lines += ["$upscope $end"] * (len(scope) - shared) + [
                f"$scope module {part} $end" for part in path_of[shared:]
            ]
            scope = path_of
        lines.append(
            f"$var wire {width} {name} {variable}{f' [{width - 1}:0]' if width > 1 else ''} $end"
        )
    lines += ["$upscope $end"] * len(scope) + ["$enddefinitions $end"]
    values = np.stack([signal[3] for signal in signals]).astype(np.int64)  # (signals, T)
    for step in range(values.shape[1]):
        changed = (
            range(len(signals))
            if step == 0
            else np.flatnonzero(values[:, step] != values[:, step - 1]).tolist()
        )
        lines.append(f"#{step}")
        lines += [_change(int(values[i, step]), signals[i][2], names[i]) for i in changed]
    lines.append(f"#{values.shape[1]}")  # the last step lasts as long as the others
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def _checked(states: object) -> tuple[tuple[States, ...], np.ndarray | None]:
    """The layers, and the votes of a network; nothing in a file is cut to fit."""
    if isinstance(states, States):
        return (_layer("states", states, None),), None
    if not isinstance(states, NetworkStates):
        raise TypeError(f"states must be States or NetworkStates, got {type(states).__name__}")
    if not isinstance(states.layers, (list, tuple)):
        raise TypeError(
            f"states.layers must be a tuple of States, got {type(states.layers).__name__}"
        )
    if not states.layers:
        raise ValueError("states.layers must hold the states of at least one layer, got none")
    votes = arguments.array("states.votes", states.votes, 2, f"(T, {CLASSES})")
    votes = arguments.integers("states.votes", votes, -(2**31), 2**31 - 1, np.int32)
    if votes.shape[1] != CLASSES:
        raise ValueError(f"states.votes must have shape (T, {CLASSES}), got {votes.shape}")
    return tuple(
        _layer(f"states.layers[{i}]", layer, len(votes)) for i, layer in enumerate(states.layers)
    ), votes


def _layer(where: str, layer: object, steps: int | None) -> States:
    """A layer in the types of ``States``; steps: as many as there must be."""
    if not isinstance(layer, States):
        raise TypeError(f"{where} must be States, got {type(layer).__name__}")
    columns, shape = [], None
    for name in NAMES:
        column = arguments.array(f"{where}.{name}", getattr(layer, name), 2, "(T, neurons)")
        shape = shape or (column.shape[0] if steps is None else steps, column.shape[1])
        if column.shape != shape:
            raise ValueError(f"{where}.{name} must have shape {shape}, got {column.shape}")
        if name != "spike":
            column = arguments.integers(f"{where}.{name}", column, -(2**15), 2**15 - 1, np.int16)
        elif column.dtype != np.bool_:
            raise TypeError(f"{where}.spike must be bool, got {column.dtype}")
        columns.append(column)
    return States(*columns)


def _signals(
    states: States | NetworkStates,
) -> Iterator[tuple[tuple[str, ...], str, int, np.ndarray]]:
    """(scope, name, bits, values over time) of every signal."""
    layers, votes = _checked(states)
    for number, layer in enumerate(layers):
        for neuron in range(layer.I.shape[1]):
            for name in NAMES:
                yield (
                    (f"layer{number}", f"neuron{neuron}"),
                    name,
                    1 if name == "spike" else 16,
                    getattr(layer, name)[:, neuron],
                )
    if votes is not None:
        for number in range(CLASSES):
            yield ("read_out",), f"class{number}", 32, votes[:, number]


def _identifier(number: int) -> str:
    """A short name of printable characters, as the format wants it."""
    name = ""
    while True:
        number, digit = divmod(number, 94)
        name += chr(33 + digit)
        if not number:
            return name


def _change(value: int, width: int, name: str) -> str:
    return f"{value}{name}" if width == 1 else f"b{value & (2**width - 1):b} {name}"
