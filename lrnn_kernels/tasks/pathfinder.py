"""Pathfinder: does a dashed path connect the two circles of a picture?"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..options import integer, one_of
from . import checks, draws, images
from .batch import Batch, accuracy

SIDE = 32  # pixels

# Lengths are integers, in 1/1024 of a pixel: no rounding of another machine moves a pixel.
UNIT = 1024
DASH, GAP = 3 * UNIT // 2, 7 * UNIT // 4
#: Half the width of a dash, and the radius of a circle; edges fade over a pixel.
HALF_WIDTH, RADIUS = 3 * UNIT // 8, 3 * UNIT // 2
#: Dashes of different paths are farther apart than this, those that follow each other by GAP.
APART = 9 * UNIT // 4
MARGIN = 2 * UNIT  # from the border to the middle of a dash

DIRECTIONS = 96
MOST_TURN = 10  # directions between a dash and the next: 37.5 degrees

# What is taken is known by cells of a quarter of a pixel, as the bits of one integer.
_CELL = UNIT // 4
_EDGE = 20  # cells around the picture, so that no disc leaves the rows
_ROW = SIDE * UNIT // _CELL + 2 * _EDGE
#: Between samples of a dash, a cell apart, and between the corners of cells some distance is lost.
_KEEP = APART / _CELL + 1 + math.sqrt(2)
#: Of a dash that does not fit, a path, and a picture.
_DASH_TRIES, _PATH_TRIES, _SCENE_TRIES = 8, 50, 1000

#: Pictures of both kinds have a pair of ends of the other kind as far apart, within this: how far
#: the circles are from each other must not tell.
ALIKE = UNIT

Segment = tuple[int, int, int, int]  # x and y of both ends
Pair = tuple[tuple[int, int], tuple[int, int]]


class Scene(NamedTuple):
    """What a picture shows, in units of 1 / UNIT pixel from its upper left corner."""

    paths: list[list[Segment]]  # two long ones, then the distractors; dashes in order
    circles: list[tuple[int, int]]  # two, each at an end of a long path
    connected: bool  # at the ends of the same path


def draw(
    *,
    batch_size: int = 32,
    generator: torch.Generator,
    dashes: int = 9,
    distractors: int = 6,
    distractor_dashes: int = 2,
    form: str = "pixels",
) -> Batch:
    """Pictures of 32 x 32 with two long paths of ``dashes`` dashes, ``distractors`` short ones of
    ``distractor_dashes``, and two circles: at both ends of one long path, or at one end of each.
    Paths wind, and neither touch nor cross. Half of the pictures are connected (of an odd number
    one more is, or is not, by chance). Paths are drawn alike for both, and circles are as far from
    each other.

    inputs   (B, 1024, 1), float32 from -0.5 (black) to 0.5; as "rows" (B, 32, 32)
    targets  (B, T), int64: 1 connected, 0 not; read at the last step
    metric   accuracy; chance 0.5
    source   Linsley, Kim, Veerabadran, Windolf and Serre, "Learning long-range spatial dependencies
             with horizontal gated recurrent units", 2018; as sequences of 1024 pixels: Tay et al.,
             "Long Range Arena", 2021. Drawn here after their description: the pictures are not
             theirs, and accuracies compare only among these

    Raises ValueError where so many paths find no room.
    """
    one_of("form", form, images.FORMS)
    found = scenes(
        batch_size=batch_size,
        generator=generator,
        dashes=dashes,
        distractors=distractors,
        distractor_dashes=distractor_dashes,
    )
    labels = torch.tensor([int(scene.connected) for scene in found])
    return images.sequences(render(found), labels, form=form)


def metric(outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Accuracy at the last step; chance 0.5. outputs: (B,T,2) or (B,2)."""
    return accuracy(outputs, batch)


def scenes(
    *,
    batch_size: int,
    generator: torch.Generator,
    dashes: int = 9,
    distractors: int = 6,
    distractor_dashes: int = 2,
) -> list[Scene]:
    """What the pictures of ``draw`` show, for the same arguments."""
    batch_size = integer("batch_size", batch_size)
    dashes = integer("dashes", dashes, 3)
    distractors = integer("distractors", distractors, 0)
    distractor_dashes = integer("distractor_dashes", distractor_dashes)
    checks.on_cpu(generator)
    rng = draws.python(generator)
    odd = draws.below(2, rng) if batch_size % 2 else 0
    connected = torch.arange(batch_size) < batch_size // 2 + odd
    connected = connected[torch.randperm(batch_size, generator=generator)].tolist()
    lengths = [dashes, dashes] + [distractor_dashes] * distractors
    found = []
    for label in connected:
        scene = _scene(rng, lengths, label)
        if scene is None:
            raise ValueError(
                "dashes, distractors and distractor_dashes must leave room, got "
                f"{dashes}, {distractors} and {distractor_dashes}, for which {_SCENE_TRIES} tries "
                "found none"
            )
        found.append(scene)
    return found


def render(found: list[Scene]) -> np.ndarray:
    """Pictures (B, 32, 32), uint8, white on black: 255 within a dash or circle, 0 from half a pixel
    outside."""
    shapes = [
        (number, *segment, HALF_WIDTH)
        for number, scene in enumerate(found)
        for path in scene.paths
        for segment in path
    ]
    shapes += [
        (number, x, y, x, y, RADIUS) for number, scene in enumerate(found) for x, y in scene.circles
    ]
    number, x0, y0, x1, y1, radius = (c[:, None, None] for c in np.array(shapes, np.int64).T)
    # The square of pixels around a shape in which it can be seen.
    across = np.arange((DASH + 2 * max(HALF_WIDTH, RADIUS) + UNIT) // UNIT + 2)
    column = (np.minimum(x0, x1) - radius) // UNIT - 1 + across[None, None, :]
    row = (np.minimum(y0, y1) - radius) // UNIT - 1 + across[None, :, None]
    px, py = column * UNIT + UNIT // 2 - x0, row * UNIT + UNIT // 2 - y0
    dx, dy = x1 - x0, y1 - y0
    along = np.clip((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, 1), 0, 1)
    distance = np.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2)
    level = np.rint(255 * np.clip((radius + UNIT // 2 - distance) / UNIT, 0, 1)).astype(np.uint8)
    inside = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
    pictures = np.zeros(len(found) * SIDE**2, np.uint8)
    place = ((number * SIDE + row) * SIDE + column)[inside]
    np.maximum.at(pictures, place, level[inside])
    return pictures.reshape(-1, SIDE, SIDE)


def _scene(rng: random.Random, lengths: list[int], connected: bool) -> Scene | None:
    for _ in range(_SCENE_TRIES):
        paths, taken = [], 0
        for number, length in enumerate(lengths):
            path, cells = _free_path(rng, length, taken, ends=number < 2)
            if not path:
                break
            paths.append(path)
            taken |= cells
            if number == 1:
                same, other = _pairs(rng, paths)
                if abs(_distance(same) - _distance(other)) > ALIKE:
                    break
        else:
            return Scene(paths, list(same if connected else other), connected)
    return None


def _pairs(rng: random.Random, paths: list[list[Segment]]) -> tuple[Pair, Pair]:
    """Where circles may be: at the ends of one of the long paths; and at an end of each, as far
    apart as these if possible."""
    ends = [(path[0][:2], path[-1][2:]) for path in paths[:2]]
    same = ends[draws.below(2, rng)]
    others = [(a, b) for a in ends[0] for b in ends[1]]
    return same, min(others, key=lambda pair: abs(_distance(pair) - _distance(same)))


def _distance(pair: Pair) -> int:
    (x0, y0), (x1, y1) = pair
    return math.isqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)


def _free_path(
    rng: random.Random, dashes: int, taken: int, *, ends: bool
) -> tuple[list[Segment], int]:
    """A path that keeps away from what is taken, and the cells that it takes itself; with ``ends``
    there is room for a circle at both. No path where none is found."""
    room = SIDE * UNIT - 2 * MARGIN
    for _ in range(_PATH_TRIES):
        x, y = MARGIN + draws.below(room, rng), MARGIN + draws.below(room, rng)
        if taken >> _cell(x, y) & 1:
            continue
        path = _path(rng, x, y, dashes, taken, ends)
        if path:
            cells = 0
            for segment in path:
                cells |= _around(segment)
            if ends:
                for px, py in (path[0][:2], path[-1][2:]):
                    cells |= _disc(_KEEP + RADIUS / _CELL) << _cell(px, py) - _CENTRE
            return path, cells
    return [], 0


def _path(rng: random.Random, x: int, y: int, dashes: int, taken: int, ends: bool) -> list[Segment]:
    """Dashes from (x, y) on, none where they would leave the picture or come near to what is taken
    or to an earlier part of the path."""
    low, high = MARGIN, SIDE * UNIT - MARGIN
    cosines = _cosines()
    path: list[Segment] = []
    circle = _disc(RADIUS / _CELL)
    own = 0  # taken by all dashes but the last
    direction = 0
    for number in range(dashes):
        blocked = taken | own
        for _ in range(_DASH_TRIES):
            if number:
                turned = direction + draws.below(2 * MOST_TURN + 1, rng) - MOST_TURN
            else:
                turned = draws.below(DIRECTIONS, rng)
            cos = cosines[turned % DIRECTIONS]
            sin = cosines[(turned - DIRECTIONS // 4) % DIRECTIONS]
            skipped = GAP if number else 0
            x0, y0 = x + skipped * cos // UNIT, y + skipped * sin // UNIT
            x1, y1 = x0 + DASH * cos // UNIT, y0 + DASH * sin // UNIT
            if not (low <= x1 <= high and low <= y1 <= high):
                continue
            if any(blocked >> cell & 1 for cell in _samples(x1, y1, x0, y0)):
                continue
            if ends and number == 0 and blocked & circle << _cell(x0, y0) - _CENTRE:
                continue
            if ends and number == dashes - 1 and blocked & circle << _cell(x1, y1) - _CENTRE:
                continue
            break
        else:
            return []
        if path:
            own |= _around(path[-1])
        path.append((x0, y0, x1, y1))
        x, y, direction = x1, y1, turned
    return path


_CENTRE = _EDGE * _ROW + _EDGE  # the cell of pixel (0, 0), about which discs lie until shifted


def _cell(x: int, y: int) -> int:
    return (y // _CELL + _EDGE) * _ROW + x // _CELL + _EDGE


def _samples(x0: int, y0: int, x1: int, y1: int) -> Iterator[int]:
    """Cells of points of a dash, a cell's width apart."""
    pieces, dx, dy = DASH // _CELL, x1 - x0, y1 - y0
    for k in range(pieces + 1):
        yield _cell(x0 + dx * k // pieces, y0 + dy * k // pieces)


def _around(segment: Segment) -> int:
    """The cells where no other path may be."""
    cells, disc = 0, _disc(_KEEP)
    for cell in _samples(*segment):
        cells |= disc << cell - _CENTRE
    return cells


@functools.cache
def _disc(radius: float) -> int:
    """The cells within a radius, in cells, of the one at _CENTRE."""
    cells, reach = 0, int(radius)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dx * dx + dy * dy <= radius * radius:
                cells |= 1 << _CENTRE + dy * _ROW + dx
    return cells


@functools.cache
def _cosines() -> list[int]:
    """Of every direction, in 1 / UNIT."""
    return [round(UNIT * math.cos(2 * math.pi * k / DIRECTIONS)) for k in range(DIRECTIONS)]
