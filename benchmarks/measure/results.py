"""What was measured, by fields: the same key in memory and, written out, in results/."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

Shape = tuple[int, int, int]  # B, T, C

#: What may be timed under a key.
CASES = {
    "operator": "the compiled operator by itself",
    "call": "the public function; in the direction train with autograd's backward pass",
    "packed": "the operator, its streams, or the parts of complex ones, side by side in a row, as "
    "one GEMM writes them",
    "time_major": "the operator, its streams time-major in memory, (T,B,nC) where they are n",
    "streams": "reading and writing the same streams past the caches, and nothing else",
    "loop": "the eager loop, one torch call after another",
    "products": "the matrix products of a cell alone, by torch.mm",
    "numba": "a loop written by hand in numba",
    "plain copy": "a copy of the same bytes with plain stores",
    "non-temporal copy": "a copy of the same bytes with stores past the caches",
    "torch copy": "a copy of the same bytes by torch",
    "torch.associative_scan, compiled": "that function under torch.compile",
    "accelerated-scan, (B,C,T)": "the package of that name, in its own layout",
    "jax.lax.associative_scan": "that function under jax.jit",
}
DIRECTIONS = ("forward", "backward", "train")


@dataclass(frozen=True)
class Key:
    """What a time is of."""

    operator: str  # one of measure.traffic.OPS, or a cell with matrices
    shape: Shape
    dtype: str
    direction: str  # one of DIRECTIONS; train is forward and backward together
    case: str = "operator"  # one of CASES
    backend: str = "cpu"
    device: str = "cpu"
    threads: int | None = None  # of the processor; None on another device

    def __post_init__(self) -> None:
        if self.case not in CASES:
            raise ValueError(f"case must be one of {', '.join(CASES)}, got {self.case!r}")
        if self.direction not in DIRECTIONS:
            raise ValueError(
                f"direction must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}"
            )

    @property
    def elements(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class Row:
    """One measured pass; share is the copy's time by the pass's, the median over rounds."""

    key: Key
    seconds: float
    gelem_s: float
    bytes_per_element: float
    gbytes_s: float
    copy_gbytes_s: float
    copy_kind: str
    share: float


class Results:
    """Rows by their key, and ratios of two times of the same rounds by the two keys."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.ratios: dict[tuple[Key, Key], float] = {}

    def add(self, row: Row) -> None:
        self.rows[row.key] = row

    def operators(self) -> list[str]:
        """Those that have rows, in the order in which they were measured."""
        return list(dict.fromkeys(key.operator for key in self.rows))

    def ratio(self, of: Key, **by: Any) -> float | None:
        """The time of a key by that of another, given by the fields in which it differs; None
        where that was not measured."""
        return self.ratios.get((of, replace(of, **by)))

    def as_json(self) -> dict[str, list[dict]]:
        """Keys as plain fields; of the key that a ratio divides by, those that differ."""
        return {
            "rows": [
                asdict(row.key) | {name: getattr(row, name) for name in _NUMBERS}
                for row in self.rows.values()
            ],
            "ratios": [
                asdict(of) | {"by": _differences(of, by), "ratio": ratio}
                for (of, by), ratio in self.ratios.items()
            ],
        }

    @classmethod
    def from_json(cls, content: dict) -> Results:
        """What ``as_json`` gave. Raises ValueError for other words than a key's."""
        results = cls()
        for row in content["rows"]:
            results.add(Row(_key(row), *(row[name] for name in _NUMBERS)))
        for entry in content["ratios"]:
            of = _key(entry)
            by = _key(asdict(of) | entry["by"])
            results.ratios[of, by] = entry["ratio"]
        return results


_NUMBERS = tuple(field.name for field in fields(Row) if field.name != "key")
_FIELDS = tuple(field.name for field in fields(Key))


def _key(plain: dict) -> Key:
    return Key(**{name: plain[name] for name in _FIELDS} | {"shape": tuple(plain["shape"])})


def _differences(of: Key, by: Key) -> dict[str, Any]:
    return {name: getattr(by, name) for name in _FIELDS if getattr(by, name) != getattr(of, name)}


def load(path: Path) -> tuple[Results, dict]:
    """The measurements in a file of results, and all that it holds."""
    content = json.loads(path.read_text())
    return Results.from_json(content["speed"]), content
