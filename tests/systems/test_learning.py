"""The learning benchmark on MNIST: its files, its coding, its networks. No real digit is needed."""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.claims import __main__ as command
from benchmarks.claims import spikes, src_mnist
from benchmarks.claims.src_network import FloatNetwork, IntegerNetwork, votes
from lrnn_kernels import fixed_point
from lrnn_kernels.tasks import mnist

TRAIN, TEST = 7, 3


@pytest.fixture
def digits() -> mnist.Mnist:
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (n, 28, 28), np.uint8) * (rng.random((n, 28, 28)) < 0.2)
        for n in (TRAIN, TEST)
    ]
    labels = [rng.integers(0, 10, n, np.uint8) for n in (TRAIN, TEST)]
    return mnist.Mnist(images[0].astype(np.uint8), labels[0], images[1].astype(np.uint8), labels[1])


def _write_npz(folder: Path, digits: mnist.Mnist) -> Path:
    np.savez(folder / "mnist.npz", **digits._asdict())
    return folder / "mnist.npz"


def _write_idx(folder: Path, digits: mnist.Mnist, ending: str = "", dotted: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, x in zip(mnist.IDX, digits, strict=True):
        content = struct.pack(f">BBBB{x.ndim}I", 0, 0, 8, x.ndim, *x.shape) + x.tobytes()
        file = folder / ((name.replace("-idx", ".idx") if dotted else name) + ending)
        file.write_bytes(gzip.compress(content) if ending else content)
    return folder


FORMS = {
    "npz": _write_npz,
    "idx": _write_idx,
    "idx.gz": lambda folder, digits: _write_idx(folder, digits, ".gz"),
    "dotted": lambda folder, digits: _write_idx(folder, digits, dotted=True),
    "torchvision": lambda folder, digits: _write_idx(folder / "MNIST" / "raw", digits).parents[1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_mnist_loads_alike(form, digits, tmp_path):
    found = mnist.load(FORMS[form](tmp_path, digits))
    for got, expected in zip(found, digits, strict=True):
        np.testing.assert_array_equal(
            got, expected.reshape(len(expected), -1) if expected.ndim == 3 else expected
        )
    assert [x.dtype for x in found] == [np.uint8, np.int64] * 2
    assert all(x.flags.writeable for x in found)  # torch.from_numpy warns of others


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda p: p / "nowhere", "does not exist"), (lambda p: p, "train-images-idx3-ubyte.*MNIST")],
)
def test_absent_data_is_named(make, message, tmp_path):
    with pytest.raises(FileNotFoundError, match=message):
        mnist.load(make(tmp_path))


def _spoil(name: str, content: bytes):
    def change(folder: Path, digits: mnist.Mnist) -> Path:
        (_write_idx(folder, digits) / name).write_bytes(content)
        return folder

    return change


def _npz(**changed):
    return lambda folder, digits: _write_npz(folder, digits._replace(**changed))


def _few_keys(folder: Path, digits: mnist.Mnist) -> Path:
    np.savez(folder / "some.npz", x_train=digits.x_train)
    return folder / "some.npz"


def _bytes(folder: Path, digits: mnist.Mnist) -> Path:
    (folder / "some.npz").write_bytes(b"rubbish, and not even a zip")
    return folder / "some.npz"


def _single(folder: Path, digits: mnist.Mnist) -> Path:
    np.save(folder / "some.npy", digits.x_train)
    return folder / "some.npy"


WRONG = {
    "another file": (_spoil(mnist.IDX[0], b"PNG\x03" + bytes(40)), "is not an IDX file of bytes"),
    "a file cut short": (
        _spoil(mnist.IDX[1], struct.pack(">BBBBI", 0, 0, 8, 1, 7) + bytes(6)),
        r"announces \(7,\) bytes and holds 6",
    ),
    "an empty file": (_spoil(mnist.IDX[1], b""), "it starts with nothing"),
    "fewer labels than images": (_npz(y_test=np.zeros(2, np.uint8)), "3 images come with 2 labels"),
    "other labels": (_npz(y_test=np.full(3, 10)), "y_test must hold the labels 0 to 9"),
    "other images": (
        _npz(x_test=np.zeros((3, 32, 32), np.uint8)),
        r"x_test must hold images of 28 x 28 bytes, got uint8 of shape \(3, 32",
    ),
    "floating point": (
        _npz(x_test=np.zeros((3, 28, 28))),
        "x_test must hold images of 28 x 28 bytes, got float64",
    ),
    "missing arrays": (_few_keys, "holds no y_train, x_test, y_test; it holds x_train"),
    "no archive": (_bytes, "is not a .npz file"),
    "a single array": (_single, "a single array"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_is_refused(case, digits, tmp_path):
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        mnist.load(make(tmp_path, digits))


def test_a_file_that_is_not_compressed_is_named(digits, tmp_path):
    folder = _write_idx(tmp_path, digits, ".gz")
    (folder / (mnist.IDX[0] + ".gz")).write_bytes(b"plain")
    with pytest.raises(ValueError, match="is not a gzip file"):
        mnist.load(folder)


def test_the_command_says_what_it_looked_for(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["learning", "src-mnist", "--data", str(tmp_path / "nowhere")])
    assert command.main() == 1
    assert "nowhere does not exist; expected an mnist.npz" in capsys.readouterr().err


def _images(level: int = 255, count: int = 40) -> np.ndarray:
    images = np.zeros((count, mnist.PIXELS), np.uint8)
    images[:, ::3] = level
    return images


@pytest.mark.parametrize("hardware", [False, True])
def test_rates(hardware):
    """A quarter of the grey level; where no pixel spikes twice running, p / (1 + p)."""
    for level in (255, 64):
        dense = spikes.encode(
            _images(level), 220, 20, np.random.default_rng(1), hardware=hardware
        ).dense()
        assert dense.shape == (220, 40, mnist.PIXELS)
        assert not dense[:20].any()
        coded = dense[20:219].float()
        p = 0.25 * level / 255
        expected = p / (1 + p) if hardware else p
        assert coded[:, :, ::3].mean().item() == pytest.approx(expected, rel=0.01)
        assert coded.sum() == coded[:, :, ::3].sum()  # black pixels are silent


def test_the_form_of_hardware():
    images = _images(127)
    images[:, ::6] = 128
    dense = spikes.encode(images, 55, 5, np.random.default_rng(1), hardware=True).dense()
    assert not (dense[5:53] & dense[6:54]).any()
    assert torch.equal(dense[54], torch.from_numpy(images >= 128))


def test_coding_depends_on_the_generator_alone():
    first, again, other = (
        spikes.encode(_images(), 44, 4, np.random.default_rng(seed)).dense() for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_black_images_do_not_spike():
    assert (
        not spikes.encode(
            np.zeros((2, mnist.PIXELS), np.uint8), 11, 1, np.random.default_rng(1), hardware=True
        )
        .dense()
        .any()
    )


def test_drive_is_the_product_with_spikes():
    drawn = spikes.encode(_images(count=3), 22, 2, np.random.default_rng(1))
    weight = torch.randn(5, mnist.PIXELS, requires_grad=True)
    dy = torch.randn(22, 3, 5)
    u = spikes.drive(weight, drawn)
    (gradient,) = torch.autograd.grad(u, weight, dy)
    expected = drawn.dense().float() @ weight.t()
    torch.testing.assert_close(u, expected)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(expected, weight, dy)[0], rtol=1e-4, atol=1e-4
    )


def test_votes():
    matrix = votes()
    assert matrix.shape == (10, 100)
    assert matrix[3, 13] == 1
    assert matrix[3, 14] == pytest.approx(-0.1)
    assert ((matrix == 1).sum(0) == 1).all()
    assert ((matrix == 1).sum(1) == 10).all()


def test_the_float_network_integrates_votes():
    """R = 0.99 R + votes out, step by step, is what the network computes at once."""
    import lrnn_kernels

    torch.manual_seed(0)
    network = FloatNetwork(33, sharpness=0.5, seed=2)
    network.weight.data += 0.05
    images = torch.from_numpy(_images(count=4))
    logits = network(images)
    network.reseed(2)
    drawn = spikes.encode(images.numpy(), 33, 3, network.rng)
    y, _ = lrnn_kernels.src(spikes.drive(network.weight, drawn).transpose(0, 1), network.bias)
    R = torch.zeros(4, 10)
    for t in range(33):
        R = 0.99 * R + y[:, t] @ votes().t()
    torch.testing.assert_close(logits, 0.5 * R, rtol=1e-4, atol=1e-4)
    assert y.max() > 0.5


def test_the_bias_stays_low():
    network = FloatNetwork(11, sharpness=0.5, seed=2)
    network.bias.data[::2] = -1.0
    network(torch.from_numpy(_images(count=1)))
    assert network.bias.max() == -4
    assert network.bias.min() == -6


def test_training_in_integers_runs_the_hardware():
    """What training sees is what ``fixed_point.Network`` computes, bit for bit, and every weight
    of a grey pixel may learn from it."""
    torch.manual_seed(0)
    network = IntegerNetwork(55, 16, torch.randn(100, mnist.PIXELS), sharpness=0.1, seed=2)
    images = _images(count=4)
    logits = network(torch.from_numpy(images))
    network.reseed(2)
    drawn = spikes.encode(images, 55, 5, network.rng, hardware=True).dense()
    run = fixed_point.Network([network.quantized()]).run(
        fixed_point.Traces.pack(drawn.transpose(0, 1).numpy())
    )
    torch.testing.assert_close(logits, torch.from_numpy(run.votes) * 0.01)
    assert run.votes.any()
    logits.square().sum().backward()
    assert network.weight.grad[:, ::3].abs().sum(0).all()
    assert not network.weight.grad[:, 1::3].any()


def test_the_benchmark_runs(digits, tmp_path, monkeypatch):
    """Every row, on a few digits."""
    monkeypatch.setattr(src_mnist, "FLOAT", src_mnist.FLOAT | {"epochs": 1, "frames": 22})
    monkeypatch.setattr(
        src_mnist, "INTEGER", tuple(s | {"epochs": 1, "frames": 22} for s in src_mnist.INTEGER[1:])
    )
    data = [torch.from_numpy(x) for x in mnist.load(_write_npz(tmp_path, digits))]
    data[0], data[1] = data[0].repeat(40, 1), data[1].repeat(40)
    kept = {}
    rows = src_mnist.run(tuple(data), kept=kept)
    assert [row["form"] for row in rows] == ["float", "integer", "integer"]
    assert all(
        0 <= row["test_accuracy"] <= 1 and row["test_digits"] == TEST and row["seed"] == 0
        for row in rows
    )
    assert all(len(src_mnist.cells(row)) == len(src_mnist.HEADER) for row in rows)
    assert "held-out" in src_mnist.title(rows, validate=True)
    for setting in src_mnist.INTEGER:  # what circuits are made of
        levels = setting["levels"]
        assert np.abs(kept[f"weights_{levels}"]).max() == levels
        assert kept[f"spikes_{levels}"].sum() == 22 * rows[0]["test_digits"]
