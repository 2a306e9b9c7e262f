"""What a data set is, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ...options import integer, number, one_of
from .. import arguments
from ..model import Model
from ..models import MODELS

#: How conductances are drawn: to targets (g_s, g_u), or independently of each other.
LAWS = ("dic", "uniform", "gamma")
SPLITS = ("train", "validation", "test")
DTYPES = ("float32", "float64")
#: Of the files: numpy's archives, or a row a neuron.
FORMATS = ("npz", "parquet")
#: Pairs of a shard.
SHARD = 1024


@dataclass(frozen=True)
class Settings:
    """What a data set holds.

    Args:
        model: by name; one with a recipe for populations.
        pairs: targets (g_s, g_u), uniform over the recipe's ranges; by another law than "dic",
            groups of neurons that are drawn together.
        neurons: of a pair. Those with a negative conductance are left out, and counted.
        law: "dic", "uniform" or "gamma": see ``neurons.neuromodulate`` and ``monte_carlo``.
        T, discard: ms that are simulated, of which spikes are kept from ``discard`` on; the
            published protocol's by default.
        dt: ms; the model's own by default.
        noise: sigma of the noise current, uA/cm^2; 0 for none.
        validation, test: shares of the pairs; the rest is for training.
        seed: of all that is drawn.
        dtype: in which neurons are simulated, "float32" or "float64".
        format: of the files, "npz" or "parquet"; both hold the same numbers. Parquet needs pyarrow.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    model: str
    pairs: int
    neurons: int = 16
    law: str = "dic"
    T: float | None = None
    discard: float | None = None
    dt: float | None = None
    noise: float = 0.0
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0
    dtype: str = "float32"
    format: str = "npz"

    def __post_init__(self) -> None:
        model = arguments.model(self.model)
        if MODELS.get(model.name) is not model:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, got another {model!r}")
        if model.recipe is None:
            raise ValueError(f"model must have a recipe for populations, and {model.name} has none")
        object.__setattr__(self, "pairs", integer("pairs", self.pairs))
        object.__setattr__(self, "neurons", integer("neurons", self.neurons))
        one_of("law", self.law, LAWS)
        one_of("dtype", self.dtype, DTYPES)
        one_of("format", self.format, FORMATS)
        object.__setattr__(self, "seed", integer("seed", self.seed, 0))
        T, discard = model.recipe.protocol
        given = {
            "model": model.name,
            "T": number("T", T if self.T is None else self.T, 0.0, math.inf, open_low=True),
            "dt": number("dt", model.dt if self.dt is None else self.dt, 0.0, 1.0, open_low=True),
            "noise": number("noise", self.noise, 0.0, math.inf),
            "validation": number("validation", self.validation, 0.0, 1.0),
            "test": number("test", self.test, 0.0, 1.0),
        }
        discard = min(discard, given["T"] / 2) if self.discard is None else self.discard
        given["discard"] = number("discard", discard, 0.0, given["T"])
        if given["validation"] + given["test"] > 1:
            raise ValueError(
                "validation and test must be at most 1 together, got "
                f"{given['validation'] + given['test']:g}"
            )
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def row(self) -> Model:
        """The model."""
        return arguments.model(self.model)

    @property
    def shards(self) -> int:
        return -(-self.pairs // SHARD)

    def pairs_of(self, shard: int) -> range:
        """The pairs of a shard, by number."""
        return range(shard * SHARD, min((shard + 1) * SHARD, self.pairs))

    def plain(self) -> dict[str, Any]:
        return asdict(self)
