"""Images as sequences. MNIST's own files are read in test_learning.py."""

import numpy as np
import pytest
import torch

from lrnn_kernels.tasks import digits, images

from .registry import digest, seeded

COUNT, SIDE = 6, 4


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (COUNT, SIDE**2), np.uint8), np.arange(COUNT)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("form", images.FORMS)
@pytest.mark.parametrize("ordered", [False, True])
def test_sequences(form, padding, ordered, data):
    x, y = data
    order = images.permutation(SIDE**2) if ordered else None
    inputs, targets, mask = images.sequences(x, y, form=form, padding=padding, order=order)
    expected = torch.from_numpy(x[:, order.numpy()] if ordered else x).float() / 255 - 0.5
    steps, channels = (SIDE**2, 1) if form == "pixels" else (SIDE, SIDE)
    assert inputs.shape == (COUNT, steps + padding, channels)
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs[:, :steps], expected.view(COUNT, steps, channels))
    assert (inputs[:, steps:] == images.BLACK).all()
    assert targets.dtype == torch.int64
    assert torch.equal(targets, torch.arange(COUNT)[:, None].expand(-1, steps + padding))
    assert mask.nonzero()[:, 1].tolist() == [steps + padding - 1] * COUNT


def test_every_form_of_an_image_is_the_same(data):
    x, y = data
    scaled = torch.from_numpy(x).float() / 255 - 0.5
    forms = (x, torch.from_numpy(x), x.reshape(COUNT, SIDE, SIDE), scaled, scaled[..., None])
    for form in forms:
        assert torch.equal(images.sequences(form, y).inputs, scaled[..., None])


def test_draws(data):
    """With replacement, every image in the long run; image and label stay together."""
    x, y = data
    first, again = (images.draw(x, y, batch_size=200, generator=seeded(1)) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)
    counts = torch.bincount(first.answers, minlength=COUNT)
    assert (counts - 200 / COUNT).abs().max() < 5 * (200 / COUNT) ** 0.5
    assert torch.equal(first.inputs, images.sequences(x, y).inputs[first.answers])


def test_an_epoch_shows_every_image_once(data):
    x, y = data
    generator = seeded()
    passes = [
        list(images.epoch(x, y, batch_size=4, generator=generator, padding=2)) for _ in range(2)
    ]
    for batches in passes:
        assert [len(batch.inputs) for batch in batches] == [4, 2]
        assert sorted(torch.cat([b.answers for b in batches]).tolist()) == list(range(COUNT))
        for batch in batches:
            expected = images.sequences(x, y, padding=2).inputs[batch.answers]
            assert torch.equal(batch.inputs, expected)
    assert not torch.equal(passes[0][0].answers, passes[1][0].answers)


def test_the_metric(data):
    batch = images.sequences(*data)
    outputs = torch.zeros(COUNT, SIDE**2, 10)
    outputs[:, -1] = torch.eye(10)[:COUNT]
    assert images.metric(outputs, batch) == {"accuracy": 1.0, "chance": 0.1}
    outputs[:3, -1] = torch.eye(10)[9]
    assert images.metric(outputs[:, -1], batch)["accuracy"] == 0.5


def test_permutations():
    order = images.permutation(784, seed=92)
    assert sorted(order.tolist()) == list(range(784))
    assert torch.equal(order, images.permutation(784, seed=92))
    assert not torch.equal(order, images.permutation(784))
    assert digest(images.permutation(784)) == "270deb57c4870003"


def test_digits():
    x, y, x_test, y_test = digits.load()
    assert (x.shape, x_test.shape) == ((1437, 64, 1), (360, 64, 1))
    assert (len(y), len(y_test)) == (1437, 360)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert (x.min(), x.max()) == (images.BLACK, 0.5)
    shares = torch.bincount(y) / len(y) - torch.bincount(y_test) / len(y_test)
    assert shares.abs().max() < 0.003
    assert torch.equal(images.sequences(x, y).inputs, x)
    held = digits.load(validate=True)
    assert len(held[0]) + len(held[2]) == 1437
    known = {row.numpy().tobytes() for row in x}
    assert all(row.numpy().tobytes() in known for row in held[2])


def test_digits_need_scikit_learn(absent):
    absent("sklearn")
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        digits.load()


X, Y = np.zeros((COUNT, 15), np.uint8), np.arange(COUNT)
WRONG = {
    "form": ({"form": "columns"}, ValueError, "form must be one of .*'rows', got 'columns'"),
    "padding": ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
    "rows": ({"form": "rows"}, ValueError, "images must be square .* got 15 pixels"),
    "order": ({"order": [1, 0]}, TypeError, "order must be a tensor, got list"),
    "part of an order": ({"order": torch.arange(14)}, ValueError, r"order must .* shape \(14,\)"),
    "no order": ({"order": torch.ones(15).long()}, ValueError, "permutation of 0 .* 14"),
    "images": ({"images": X[0]}, ValueError, r"images must have shape .* got \(15,\)"),
    "no images": ({"images": X[:0], "labels": Y[:0]}, ValueError, "images must have shape"),
    "type": ({"images": X.astype(np.int64)}, TypeError, "images must be uint8 .* got torch.int64"),
    "labels": ({"labels": Y[:2]}, ValueError, r"labels must have shape \(6,\) .* got \(2,\)"),
    "float labels": ({"labels": Y / 2}, TypeError, "labels must be integers, got torch.float64"),
    "low labels": ({"labels": Y - 1}, ValueError, "labels must be at least 0, got -1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("function", [images.sequences, images.draw])
def test_wrong_arguments_are_named(case, function):
    changed, error, message = WRONG[case]
    arguments = {"images": X, "labels": Y} | changed
    if function is images.draw:
        arguments |= {"batch_size": 2, "generator": seeded()}
    with pytest.raises(error, match=message):
        function(arguments.pop("images"), arguments.pop("labels"), **arguments)


@pytest.mark.parametrize("function", [images.draw, images.epoch])
def test_wrong_draws_are_named(function):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        function(X, Y, batch_size=0, generator=seeded())
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator .* got int"):
        function(X, Y, batch_size=2, generator=0)
