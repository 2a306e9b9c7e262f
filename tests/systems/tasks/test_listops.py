"""ListOps: every value is what another evaluator makes of the text, and the sizes are kept."""

import statistics

import pytest
import torch

from lrnn_kernels.tasks import listops

from .registry import seeded

SIZES = {"batch_size": 300, "steps": 80, "min_length": 10, "max_depth": 4, "max_args": 5}


def parse(words: list[str]):
    """A digit, or [operator, argument, ...], by recursive descent; takes its words away."""
    word = words.pop(0)
    if not word.startswith("["):
        return int(word)
    found = [word]
    while words[0] != "]":
        found.append(parse(words))
    words.pop(0)
    return found


def evaluate(tree) -> int:
    if isinstance(tree, int):
        return tree
    arguments = [evaluate(argument) for argument in tree[1:]]
    if tree[0] == "[MED":
        return int(statistics.median(arguments))
    if tree[0] == "[SM":
        return sum(arguments) % 10
    return {"[MIN": min, "[MAX": max}[tree[0]](arguments)


def depth(tree) -> int:
    return 0 if isinstance(tree, int) else 1 + max(map(depth, tree[1:]))


def lists(tree) -> list:
    if isinstance(tree, int):
        return []
    return [tree, *(inner for argument in tree[1:] for inner in lists(argument))]


def trees(batch) -> list:
    found = []
    for row in batch.inputs:
        words = listops.text(row).split()
        found.append(parse(words))
        assert not words
    return found


@pytest.fixture(scope="module")
def batch():
    return listops.draw(**SIZES, generator=seeded())


def test_values(batch):
    assert [evaluate(tree) for tree in trees(batch)] == batch.answers.tolist()
    assert set(batch.answers.tolist()) == set(range(10))


def test_values_of_full_size():
    batch = listops.draw(batch_size=8, generator=seeded(1))
    assert batch.inputs.shape == (8, 2000)
    found = trees(batch)
    assert [evaluate(tree) for tree in found] == batch.answers.tolist()
    assert max(map(depth, found)) == 10
    assert (batch.inputs != 0).sum(1).min() >= 500


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MED 1 2 ]", 1),
        ("[MED 8 1 4 ]", 4),
        ("[MED 9 0 3 6 ]", 4),
        ("[SM 9 9 [SM 5 5 ] ]", 8),
        ("[MIN [MAX 3 4 ] [MED 5 9 7 ] 6 ]", 4),
    ],
)
def test_the_two_evaluators(words, value):
    """Both on paper's values: the package's table folds from the innermost list."""
    tree = parse(words.split())
    assert evaluate(tree) == value

    def fold(tree):
        return tree if isinstance(tree, int) else listops.OPERATORS[tree[0]]([*map(fold, tree[1:])])

    assert fold(tree) == value


def test_sizes(batch):
    found = trees(batch)
    lengths = (batch.inputs != listops.PADDING).sum(1)
    assert lengths.min() >= 10
    assert lengths.max() <= 80
    assert lengths.max() > 70
    assert {depth(tree) for tree in found} <= {1, 2, 3, 4}
    assert max(map(depth, found)) == 4
    arguments = {len(inner) - 1 for tree in found for inner in lists(tree)}
    assert arguments == {2, 3, 4, 5}


def test_padding_follows_the_expression(batch):
    """The answer is read at the last bracket, and nothing but padding comes after it."""
    for row, mask in zip(batch.inputs.tolist(), batch.mask.tolist(), strict=True):
        (end,) = [t for t, asked in enumerate(mask) if asked]
        assert listops.VOCABULARY[row[end]] == "]"
        assert listops.PADDING not in row[: end + 1]
        assert set(row[end + 1 :]) <= {listops.PADDING}


def test_what_is_drawn_evenly():
    """Operators, digits and numbers of arguments; a quarter of the arguments are lists."""
    free = listops.draw(
        batch_size=3000, steps=400, min_length=1, max_depth=2, max_args=4, generator=seeded()
    )  # no expression of these sizes is too long or short
    found = trees(free)
    outer = [inner for tree in found for inner in lists(tree)]
    for values in (
        [inner[0] for inner in outer],
        [len(inner) for inner in outer],
        [x for inner in outer for x in inner[1:] if isinstance(x, int)],
    ):
        kinds = sorted(set(values))
        expected = len(values) / len(kinds)
        assert all(abs(values.count(k) - expected) < 5 * expected**0.5 for k in kinds)
        assert len(kinds) in (3, 4, 10)
    arguments = [argument for tree in found for argument in tree[1:]]
    share = sum(isinstance(x, list) for x in arguments) / len(arguments)
    assert share == pytest.approx(0.25, abs=5 * (0.1875 / len(arguments)) ** 0.5)


def test_the_vocabulary():
    assert len(listops.VOCABULARY) == 16
    assert listops.VOCABULARY[1:11] == tuple("0123456789")
    assert listops.VOCABULARY[11:] == ("[MIN", "[MAX", "[MED", "[SM", "]")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_args": 1}, "max_args must be at least 2, got 1"),
        ({"steps": 3, "min_length": 1}, "steps must be at least 4, got 3"),
        ({"steps": 50, "min_length": 51}, "steps must be at least 51, got 50"),
        ({"max_depth": 1, "max_args": 4, "min_length": 7}, "must allow expressions, got 7, 80, 1"),
    ],
)
def test_impossible_sizes_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        listops.draw(**(SIZES | changed), generator=seeded())


def test_the_shortest_and_the_longest():
    batch = listops.draw(
        batch_size=20, steps=4, min_length=4, max_depth=3, max_args=2, generator=seeded()
    )
    assert torch.equal((batch.inputs != 0).sum(1), torch.full((20,), 4))
