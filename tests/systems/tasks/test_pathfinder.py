"""Pathfinder: tracing the dashes from circle to circle finds the label, on the generator's geometry
and, mostly, on the pixels alone."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from lrnn_kernels.tasks import pathfinder

from .registry import digest, seeded

COUNT = 40
UNIT = pathfinder.UNIT


@pytest.fixture(scope="module")
def scenes():
    return pathfinder.scenes(batch_size=COUNT, generator=seeded())


def ends(segment) -> tuple[np.ndarray, np.ndarray]:
    return np.array(segment[:2]) / UNIT, np.array(segment[2:]) / UNIT


def gap(a, b) -> float:
    """Distance in pixels of two dashes that do not cross: at an end of one of them."""

    def to_segment(point, segment):
        start, end = ends(segment)
        along = np.clip((point - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        return float(np.linalg.norm(start + along * (end - start) - point))

    return min(
        *(to_segment(point, b) for point in ends(a)), *(to_segment(point, a) for point in ends(b))
    )


def cross(a, b) -> bool:
    def side(segment, point):
        (x0, y0), (x1, y1) = segment[:2], segment[2:]
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)

    return side(a, b[:2]) * side(a, b[2:]) < 0 and side(b, a[:2]) * side(b, a[2:]) < 0


def components(count: int, linked) -> list[int]:
    """A number for each of what is linked, directly or by way of others."""
    found = list(range(count))
    for i, j in linked:
        if found[i] != found[j]:
            old, new = found[i], found[j]
            found = [new if x == old else x for x in found]
    return found


def test_tracing_finds_the_label(scenes):
    """Dashes no farther apart than a gap belong together; nothing is said of paths."""
    reach = pathfinder.GAP / UNIT + 0.01
    for scene in scenes:
        dashes = [segment for path in scene.paths for segment in path]
        near = [(i, j) for i, j in itertools.combinations(range(len(dashes)), 2)
                if gap(dashes[i], dashes[j]) <= reach]  # fmt: skip
        part = components(len(dashes), near)
        first, second = (
            {part[i] for i, dash in enumerate(dashes) if circle in (dash[:2], dash[2:])}
            for circle in scene.circles
        )
        assert len(first) == len(second) == 1
        assert (first == second) == scene.connected
        assert len(set(part)) == len(scene.paths)


def test_paths_keep_apart(scenes):
    apart = pathfinder.APART / UNIT
    for scene in scenes:
        for one, other in itertools.combinations(scene.paths, 2):
            assert not any(cross(a, b) for a in one for b in other)
            assert min(gap(a, b) for a in one for b in other) > apart
        for path in scene.paths:
            for i, j in itertools.combinations(range(len(path)), 2):
                assert not cross(path[i], path[j])
                assert gap(path[i], path[j]) > (apart if j > i + 1 else 1)


def test_long_paths_keep_apart_from_themselves():
    """Of 100 of 14 dashes, four would come back to themselves."""
    rng, middle = random.Random(0), pathfinder.SIDE * UNIT // 2
    found = []
    while len(found) < 100:
        path = pathfinder._path(rng, middle, middle, 14, 0, ends=False)
        found += [path] if path else []
    for path in found:
        for i, j in itertools.combinations(range(len(path)), 2):
            assert not cross(path[i], path[j])
            assert j == i + 1 or gap(path[i], path[j]) > pathfinder.APART / UNIT


def test_what_is_drawn(scenes):
    for scene in scenes:
        assert [len(path) for path in scene.paths] == [9, 9, 2, 2, 2, 2, 2, 2]
        for path in scene.paths:
            for segment in path:
                start, end = ends(segment)
                assert np.linalg.norm(end - start) == pytest.approx(1.5, abs=0.005)
                assert min(*start, *end) >= 2 - 0.01
                assert max(*start, *end) <= 30 + 0.01
            for a, b in itertools.pairwise(path):
                (start, end), (following, far) = ends(a), ends(b)
                assert np.linalg.norm(following - end) == pytest.approx(1.75, abs=0.005)
                cosine = (end - start) @ (far - following) / 1.5**2
                assert cosine > math.cos(math.radians(37.5)) - 0.02
        places = [{path[0][:2], path[-1][2:]} for path in scene.paths[:2]]
        if scene.connected:
            assert set(scene.circles) in places
        else:
            assert all(len(place & set(scene.circles)) == 1 for place in places)
        assert math.dist(*scene.circles) > 2 * pathfinder.RADIUS + UNIT


def test_halves():
    for count in (1, 2, 7, 20):
        shares = [
            sum(scene.connected for scene in pathfinder.scenes(
                batch_size=count, dashes=3, distractors=0, generator=seeded(seed)
            ))
            for seed in range(8)
        ]  # fmt: skip
        assert set(shares) == ({count // 2} if count % 2 == 0 else {count // 2, count // 2 + 1})


def test_the_distance_of_the_circles_does_not_tell():
    found = pathfinder.scenes(batch_size=400, dashes=6, distractors=0, generator=seeded())
    distance = np.array([math.dist(*scene.circles) / UNIT for scene in found])
    label = np.array([scene.connected for scene in found])
    same, other = np.sort(distance[label]), np.sort(distance[~label])
    apart = np.abs(
        np.searchsorted(same, distance) / len(same) - np.searchsorted(other, distance) / len(other)
    ).max()
    assert apart < 0.163  # Kolmogorov and Smirnov's statistic at 1 %, of 200 against 200


def by_hand(scene) -> np.ndarray:
    """The picture pixel by pixel, from the nearest of all shapes."""
    picture = np.zeros((32, 32))
    shapes = [(segment, 3 / 8) for path in scene.paths for segment in path]
    shapes += [((x, y, x + 1e-9, y), 3 / 2) for x, y in scene.circles]
    for row, column in itertools.product(range(32), range(32)):
        point = np.array([column + 0.5, row + 0.5])
        for segment, radius in shapes:
            start, end = ends(segment)
            along = np.clip((point - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            distance = np.linalg.norm(start + along * (end - start) - point)
            picture[row, column] = max(picture[row, column], np.clip(radius + 0.5 - distance, 0, 1))
    return picture


def test_the_picture(scenes):
    pictures = pathfinder.render(scenes[:3])
    assert (pictures.shape, pictures.dtype) == ((3, 32, 32), np.uint8)
    for picture, scene in zip(pictures, scenes, strict=False):
        np.testing.assert_allclose(picture, 255 * by_hand(scene), atol=0.51)
    assert np.array_equal(pathfinder.render(scenes)[:3], pictures)


def test_the_picture_shows_the_label():
    """Lit pixels within a knight's move, traced from the middle of one circle."""
    found = pathfinder.scenes(batch_size=40, generator=seeded(3))
    right = 0
    for picture, scene in zip(pathfinder.render(found), found, strict=True):
        start, goal = ((y // UNIT, x // UNIT) for x, y in scene.circles)
        lit = {tuple(p) for p in np.argwhere(picture > 60).tolist()}
        reached, front = set(), [start]
        while front:
            here = front.pop()
            reached.add(here)
            near = {p for p in lit if (p[0] - here[0]) ** 2 + (p[1] - here[1]) ** 2 <= 5}
            front += near - reached - set(front)
        right += (goal in reached) == scene.connected
    assert right >= 36


def test_batches():
    batch, rows = (
        pathfinder.draw(batch_size=6, form=form, generator=seeded()) for form in ("pixels", "rows")
    )
    found = pathfinder.scenes(batch_size=6, generator=seeded())
    assert rows.inputs.shape == (6, 32, 32)
    assert torch.equal(batch.inputs.view(6, 32, 32), rows.inputs)
    expected = torch.from_numpy(pathfinder.render(found)).float() / 255 - 0.5
    assert torch.equal(rows.inputs, expected)
    assert batch.answers.tolist() == [int(scene.connected) for scene in found]
    assert torch.equal(batch.answers, rows.answers)


def test_the_checksum_of_the_default():
    batch = pathfinder.draw(batch_size=16, generator=seeded())
    assert digest(*batch) == "42329f13e4712852"


def test_no_room_is_named():
    with pytest.raises(ValueError, match="must leave room, got 3, 80 and 9, for which 1000 tries"):
        pathfinder.scenes(
            batch_size=1, dashes=3, distractors=80, distractor_dashes=9, generator=seeded()
        )
    with pytest.raises(ValueError, match="form must be one of 'pixels', 'rows', got 'columns'"):
        pathfinder.draw(form="columns", generator=seeded())
