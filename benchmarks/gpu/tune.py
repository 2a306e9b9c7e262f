"""python -m benchmarks gpu tune: measures what lies around each row of triton_kernels/config.py,
and prints the table to paste there.

For every family of kernels and every width, tiles and steps are tried first, the two directions
each on its own, then the numbers that decide when time is cut. A candidate is measured only if its
kernels keep all their values in registers and its results are those of the row in the table. All
are timed on the main shapes, in rounds beside the row in the table and a copy of the same bytes; a
candidate's score is its time by the row's, the geometric mean over operators and shapes. Nothing is
written into the package: one GPU's winners are to be read before they become everybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from math import exp, log
from statistics import mean, median

import torch
from tqdm import tqdm

from lrnn_kernels import testing
from lrnn_kernels.backends import triton as triton_backend
from lrnn_kernels.cells import CELLS

from ..measure import report
from ..measure.results import Key
from ..measure.timing import ratio
from ..measure.traffic import OPS, Op
from .shapes import LONE, MAIN, WIDE, Shape
from .timing import GraphClock, copy_of, interleave, random_calls

DIRECTIONS = ("forward", "backward")
DTYPES = {"half": torch.bfloat16, "single": torch.float32, "double": torch.float64}
#: The operators of each family of kernels, which is the engine that runs them.
FAMILIES: dict[str, tuple[str, ...]] = {
    engine: tuple(name for name, op in OPS.items() if op.kernel.engine == engine)
    for engine in dict.fromkeys(op.kernel.engine for op in OPS.values())
}
#: What is tried in each column.
VALUES = {
    "elements": (1, 2, 4, 8),
    "warps": (1, 2, 4),
    "forward": (2, 4, 8, 16),
    "backward": (1, 2, 4, 8),
    "enough": (2, 4, 8),
    "wanted": (4, 8, 16),
    "shortest": (32, 64, 128, 256),
}
#: Of these, in the step family: more elements make its chains longer, and long turns compile for
#:     long.
STEP_VALUES = {"elements": (1, 2), "forward": (2, 4, 8), "backward": (2, 4, 8)}
QUICK = VALUES | {
    "elements": (1, 2, 4),
    "warps": (1, 2),
    "forward": (4, 8),
    "backward": (2, 4),
    "enough": (4,),
    "shortest": (64,),
}
#: A candidate must be faster than the row in the table by this, or noise would decide.
MARGIN = 0.02
#: Candidates whose graphs are in memory together.
TOGETHER = 8

ConfigKey = tuple[str, str]  # family, width


@dataclass
class Row:
    """A candidate on one operator and shape; share is the copy's time by its own."""

    family: str
    width: str
    config: tuple[int, ...]
    key: Key
    seconds: float
    share: float
    ratio: float  # its time by that of the row in the table

    def as_json(self) -> dict:
        """All fields, those of the key among them."""
        plain = asdict(self)
        return plain.pop("key") | plain


class Tuner:
    """Tries configurations, and keeps what was measured and why the others were not."""

    def __init__(
        self,
        quick: bool,
        spills: Callable[[ConfigKey, tuple, str], bool],
        clock=None,
        device: str = "cuda",
        tell: Callable[[Row], object] = lambda row: None,
        operators: int | None = None,
    ):
        from lrnn_kernels.triton_kernels import config

        self.table = config.CONFIGS
        self.spills, self.clock, self.device = spills, clock or GraphClock(), device
        self.tell = tell  # every row, as it is measured
        self.operators = operators  # of a family, at most; None: all
        self.values, self.rounds = (QUICK, 5) if quick else (VALUES, 15)
        self.shapes: list[Shape] = [MAIN, WIDE, LONE]
        self.check_shape: Shape = (2, 300, 70)  # cut in time, and with a tail
        self.rows: list[Row] = []
        self.left_out: list[dict] = []
        self.best = dict(self.table)

    def run(self, keys: list[ConfigKey]) -> None:
        for key in tqdm(keys, desc="tune", leave=False, disable=None):
            self.best[key] = self._when_cut(key, self.best_tile(key))

    def as_json(self) -> dict:
        chosen = [
            {"family": f, "width": w, "table": self.table[f, w], "best": best}
            for (f, w), best in self.best.items()
        ]
        return {
            "chosen": chosen,
            "rows": [row.as_json() for row in self.rows],
            "left_out": self.left_out,
            "text": text(self.best),
        }

    def score(
        self,
        key: ConfigKey,
        config: tuple,
        directions: tuple[str, ...] = DIRECTIONS,
        op: str | None = None,
    ) -> float:
        """The time of a measured configuration by that of the row in the table, over operators
        and shapes."""
        found = [
            row.ratio
            for row in self.rows
            if (row.family, row.width, row.config) == (*key, tuple(config))
            and row.key.direction in directions
            and op in (None, row.key.operator)
        ]
        return exp(mean(map(log, found)))

    def best_tile(self, key: ConfigKey):
        """The best tile, with the best steps of each direction in it."""
        now, values = self.table[key], self.values
        if key[0] == "step":
            values = values | {
                name: tuple(x for x in values[name] if x in kept)
                for name, kept in STEP_VALUES.items()
            }
        tiles = [
            now._replace(elements=e, warps=w)
            for e, w in product(values["elements"], values["warps"])
        ]
        of_tile = {}
        for direction in DIRECTIONS:
            tried = [
                tile._replace(**{direction: steps}) for tile in tiles for steps in values[direction]
            ]
            for config in self._measured(key, tried, (direction,)):
                of_tile.setdefault((config.elements, config.warps), {}).setdefault(
                    direction, []
                ).append(config)
        scores = {now: 1.0}
        for found in of_tile.values():
            if len(found) == len(DIRECTIONS):
                fastest = {
                    d: min(found[d], key=lambda config, d=d: self.score(key, config, (d,)))
                    for d in DIRECTIONS
                }
                both = fastest["forward"]._replace(backward=fastest["backward"].backward)
                scores[both] = mean(self.score(key, fastest[d], (d,)) for d in DIRECTIONS)
        return self._winner(now, scores)

    def _when_cut(self, key: ConfigKey, now):
        """The best numbers that decide when time is cut, of a family that can be."""
        if not now.enough:
            return now
        columns = ("enough", "wanted", "shortest")
        tried = [
            now._replace(**dict(zip(columns, x, strict=True)))
            for x in product(*(self.values[name] for name in columns))
        ]
        found = self._measured(key, [now, *tried], DIRECTIONS)
        return (
            self._winner(now, {config: self.score(key, config) for config in found})
            if now in found
            else self.table[key]
        )

    def _winner(self, now, scores: dict):
        best = min(scores, key=scores.get)
        return best if scores[best] < scores[now] * (1 - MARGIN) else now

    def _measured(self, key: ConfigKey, configs: list, directions: tuple[str, ...]) -> list:
        """Those of the configurations that may be measured, measured in these directions."""
        usable = [
            config
            for config in dict.fromkeys(configs)
            if config == self.table[key] or self._usable(key, config, directions)
        ]
        for op, shape in product(self.ops(key), self.shapes):
            dtype = DTYPES[key[1]]
            calls = random_calls(op, shape, dtype, "triton", self.device)
            calls.prepare_backward()
            for direction in directions:
                call = getattr(calls, direction)
                timed_key = Key(
                    op.name,
                    shape,
                    str(dtype).removeprefix("torch."),
                    direction,
                    backend="triton",
                    device=self.device,
                )
                total = timed_key.elements * op.bytes_per_element(dtype, direction == "backward")
                copy = self.clock.prepare(copy_of(total, self.device))
                for first in range(0, len(usable), TOGETHER):
                    some = usable[first : first + TOGETHER]
                    timed = {"copy": copy, "table": self.clock.prepare(call)}
                    for config in some:
                        with self._using(key, config):
                            timed[config] = self.clock.prepare(call)
                    times = interleave(timed, self.rounds)
                    for config in some:
                        found = (
                            median(times[config]),
                            ratio(times, "copy", config),
                            ratio(times, config, "table"),
                        )
                        self.rows.append(Row(*key, tuple(config), timed_key, *found))
                        self.tell(self.rows[-1])
        return usable

    def _usable(self, key: ConfigKey, config, directions: tuple[str, ...]) -> bool:
        """Whether a configuration compiles without spills and computes what that of the table
        does; says why not in ``left_out``."""
        why = ""
        with self._using(key, config):
            if any(self.spills(key, config, direction) for direction in directions):
                why = "spills"
        if not why and not all(self._same(key, config, op) for op in self.ops(key)):
            why = "WRONG"
        if why:
            self.left_out.append(
                {
                    "family": key[0],
                    "width": key[1],
                    "config": config,
                    "directions": directions,
                    "why": why,
                }
            )
        return not why

    def _same(self, key: ConfigKey, config, op: Op) -> bool:
        call = example(op, self.check_shape, DTYPES[key[1]]).to(self.device)
        expected = testing.run(call, "triton")
        with self._using(key, config):
            got = testing.run(call, "triton")
        return all(error.ok for error in testing.compare(call, got, expected))

    @contextmanager
    def _using(self, key: ConfigKey, config) -> Iterator[None]:
        """Within the block, the table has this row."""
        kept = self.table[key]
        self.table[key] = config
        try:
            yield
        finally:
            self.table[key] = kept

    def ops(self, key: ConfigKey) -> list[Op]:
        """The operators of a family that have numbers of this width."""
        found = [OPS[name] for name in FAMILIES[key[0]]]
        return [op for op in found if not (op.complex and key[1] == "double")][: self.operators]


def example(op: Op, shape: Shape, dtype: torch.dtype) -> testing.Call:
    """A call of an operator that takes everything its kernel can: the most registers there are."""
    options = {**testing.variants(op.cell)[0], **op.options}  # constants that stay finite
    types = {torch.float32: torch.complex64, torch.bfloat16: torch.bfloat16} if op.complex else {}
    split = op.complex and dtype == torch.bfloat16
    reset = CELLS[op.cell].kernel(options, False) == CELLS[op.cell].kernel(
        options, True
    )  # the latch has none
    return testing.random_call(
        op.cell, *shape, dtype=types.get(dtype, dtype), options=options, reset=reset, split=split
    )


class Compiler:
    """Says whether the kernels of a configuration, which the table holds just now, spill on this
    GPU."""

    def __init__(self, driver, ops: Callable[[ConfigKey], list[Op]]):
        self.driver, self.ops = driver, ops  # Triton's, of this GPU
        self._known: dict[tuple, bool] = {}  # what decides when time is cut compiles nothing new

    def spills(self, key: ConfigKey, config, direction: str) -> bool:
        compiled = (key, config.elements, config.warps, direction, getattr(config, direction))
        if compiled not in self._known:
            self._known[compiled] = self._spills(key, direction)
        return self._known[compiled]

    def _spills(self, key: ConfigKey, direction: str) -> bool:
        import triton

        from ..resources.triton import launches_of, usage

        try:
            calls = [example(op, (2, 128, MAIN[2]), DTYPES[key[1]]) for op in self.ops(key)]
            launches = [
                one
                for call in calls
                for one in launches_of(call)
                if one.kernel.fn.__name__.endswith(direction)
            ]
            return any(usage(one, self.driver.get_current_target())[1] for one in launches)
        finally:
            triton.runtime.driver.set_active(self.driver)


def text(table: dict) -> str:
    """The rows of the table as they stand in config.py."""
    lines = []
    for key, config in table.items():
        name = '("{}", "{}"):'.format(*key)
        lines.append(
            f"    {name:<22}Config("
            + ", ".join(f"{x:>{len(column)}}" for column, x in config._asdict().items())
            + "),"
        )
    return "\n".join(lines)


def print_tables(tuner: Tuner, keys: list[ConfigKey]) -> None:
    for key in keys:
        now, best = tuner.table[key], tuner.best[key]
        rows = [row for row in tuner.rows if (row.family, row.width) == key]
        configs = sorted(
            {row.config for row in rows},
            key=lambda config: mean(r.ratio for r in rows if r.config == config),
        )
        lines = []
        for config in dict.fromkeys([tuple(now), tuple(best), *configs[:10]]):
            found = {
                d: [row for row in rows if row.config == config and row.key.direction == d]
                for d in DIRECTIONS
            }
            shares = [
                f"{mean(r.share for r in x):.2f} {tuner.score(key, config, (d,)):.2f}" if x else "-"
                for d, x in found.items()
            ]
            lines.append(
                [
                    " ".join(map(str, config)),
                    *shares,
                    "table" * (config == now),
                    "best" * (config == best),
                ]
            )
        out = sum((x["family"], x["width"]) == key for x in tuner.left_out)
        title = (
            f"{key[0]}, {key[1]}: mean share of the copy, time by the table's; {len(configs)} "
            f"measured, {out} left out"
        )
        print(report.table([" ".join(now._fields), *DIRECTIONS, "", ""], lines, title))
    wrong = [x for x in tuner.left_out if x["why"] == "WRONG"]
    print("\n".join(f"WRONG: {x}" for x in wrong))
    print(
        "\nFor triton_kernels/config.py"
        + ("" if tuner.best != tuner.table else ", which is the best already")
        + ":\n"
    )
    print(text(tuner.best))


def main(quick: bool, families: list[str]) -> dict:
    """Tunes the families and prints what was found; returns it for the JSON."""
    import triton

    assert not triton_backend.failure()
    tuner = Tuner(quick, lambda *args: compiler.spills(*args))
    compiler = Compiler(triton.runtime.driver.active, tuner.ops)
    keys = [(family, width) for family, width in tuner.table if family in families]
    tuner.run(keys)
    print_tables(tuner, keys)
    return tuner.as_json()
