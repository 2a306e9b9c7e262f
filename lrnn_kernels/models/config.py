"""What a backbone is made from, as plain data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..options import boolean, integer, number, one_of
from . import layers
from .layers import Part
from .mlp import KINDS
from .norms import NORMS

HEADS = ("last", "mean", "steps", "tokens")


@dataclass(frozen=True)
class BackboneConfig:
    """The sizes and choices of a ``Backbone``; defaults are those of the papers.

    Args:
        input_size: channels of x; for head="tokens" the size of the vocabulary.
        output_size: channels of out, the logits or the targets.
        cell: the recurrent part of a block: the name of a layer in lrnn_kernels.nn, a ``Layer``
            (with options), a ``Stacked``, or a factory, called with the number of its input
            channels, of a layer or composition that is batch first. A tuple of these is a hybrid,
            whose outputs are summed.
        width: D, the channels of the residual stream, and the states of a layer that names none.
        depth: number of blocks.
        head: what out is. "last": (B,output_size), after the last step. "mean": the mean over
            steps. "steps": (B,T,output_size). "tokens": the same, for x of token ids (B,T).
        positions: channels of the positional encoding, which is concatenated at the input and to
            what the cell of every block reads; even, 0 for none.
        position_base: the longest wave has about 2 pi position_base steps.
        position_offsets: whether every sinusoid has a learned phase, 0 at the start, at each place
            of its own (a reconstruction: the papers' text was not read for where offsets enter).
        conv: taps of a causal convolution of each channel, before the cell; 0 for none.
        norm: "layer", or "batch" for statistics over sequences and steps, which makes short runs
            learn sooner where what tells sequences apart is small beside what all of them share.
            They mix sequences, and steps before with steps after, until ``eval()``; padding counts.
        mlp: "glu", "gelu" or "relu".
        expansion: channels within an MLP, as a multiple of the width; a GLU has as many gates.
        dropout: of what the cell adds, and within MLPs.
        gate_bias: b_g at the start.
        output_map: whether the cell's output passes W_o y + b_o; without it, each cell's output
            must be as wide as the backbone.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    input_size: int
    output_size: int
    cell: str | Part | tuple[str | Part, ...]
    width: int = 128
    depth: int = 2
    head: str = "last"
    positions: int = 16
    position_base: float = 10000.0
    position_offsets: bool = True
    conv: int = 0
    norm: str = "layer"
    mlp: str = "glu"
    expansion: int = 4
    dropout: float = 0.1
    gate_bias: float = 4.0
    output_map: bool = True

    def __post_init__(self) -> None:
        for name in ("input_size", "output_size", "width", "depth", "expansion"):
            object.__setattr__(self, name, integer(name, getattr(self, name)))
        if isinstance(self.cell, list):
            self._keep("cell", tuple(self.cell))
        parts = self.cell if isinstance(self.cell, tuple) else (self.cell,)
        if not parts:
            raise ValueError("cell must hold at least one layer, got ()")
        found = tuple(layers.named("cell", part) for part in parts)
        for name in ("positions", "conv"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 0))
        if self.positions % 2:
            raise ValueError(
                f"positions must be even, a sine and a cosine each, got {self.positions}"
            )
        self._keep("cell", found if isinstance(self.cell, tuple) else found[0])
        one_of("head", self.head, HEADS)
        one_of("norm", self.norm, NORMS)
        one_of("mlp", self.mlp, KINDS)
        boolean("position_offsets", self.position_offsets)
        boolean("output_map", self.output_map)
        self._keep("position_base", number("position_base", self.position_base, 1.0, 1e18))
        self._keep("dropout", number("dropout", self.dropout, 0.0, 1.0))
        self._keep("gate_bias", number("gate_bias", self.gate_bias, -1e18, 1e18))

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What cell holds, one by one."""
        return self.cell if isinstance(self.cell, tuple) else (self.cell,)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, which JSON can hold. Raises TypeError where cell is a factory."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        parts = [layers.to_dict(part) for part in self.parts]
        return {**found, "cell": parts if isinstance(self.cell, tuple) else parts[0]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BackboneConfig:
        """The inverse of ``to_dict``. Raises ValueError for a key that is unknown or missing."""
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a dict, got {type(data).__name__}")
        fields = dataclasses.fields(cls)
        if unknown := data.keys() - {field.name for field in fields}:
            raise ValueError(f"data must hold arguments of {cls.__name__}, got {sorted(unknown)}")
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        if missing := needed - data.keys():
            raise ValueError(f"data must hold {', '.join(sorted(missing))}, got {sorted(data)}")
        cell = data["cell"]
        if isinstance(cell, list | tuple):
            cell = tuple(layers.from_dict(f"cell {i}", part) for i, part in enumerate(cell))
        else:
            cell = layers.from_dict("cell", cell)
        return cls(**{**data, "cell": cell})

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> BackboneConfig:
        return cls.from_dict(json.loads(text))
