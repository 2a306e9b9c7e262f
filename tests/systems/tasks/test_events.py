"""Events in bins, against a loop over them; the files of SHD and N-MNIST, byte for byte."""

import sys

import numpy as np
import pytest
import torch

from lrnn_kernels.tasks import event_files, events

from .registry import seeded

TIMES = np.array([0.0, 0.05, 0.31, 0.31, 0.999, 0.2, 0.05])
UNITS = np.array([2, 0, 1, 1, 2, 0, 0])
SIZE = 3


def by_hand(times, units, steps: int, dt: float) -> torch.Tensor:
    counts = torch.zeros(steps, SIZE)
    for time, unit in zip(times.tolist(), units.tolist(), strict=True):
        for step in range(steps):
            if step * dt <= time < (step + 1) * dt:
                counts[step, unit] += 1
    return counts


WIDTHS = {
    "duration": ({"steps": 10, "duration": 1.0}, 10, 0.1),
    "dt": ({"dt": 0.1}, 10, 0.1),
    "cut": ({"steps": 3, "dt": 0.1}, 3, 0.1),
    "beyond": ({"steps": 20, "dt": 0.1}, 20, 0.1),
    "one step": ({"steps": 1, "duration": 7}, 1, 7.0),
    "uneven": ({"dt": 0.07}, 15, 0.07),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("as_tensors", [False, True])
def test_bins(width, binary, as_tensors):
    options, steps, dt = WIDTHS[width]
    pair = (torch.from_numpy(TIMES), torch.from_numpy(UNITS)) if as_tensors else (TIMES, UNITS)
    expected = by_hand(TIMES, UNITS, steps, dt)
    expected = expected.clamp(max=1) if binary else expected
    dense = events.to_dense(*pair, size=SIZE, binary=binary, **options)
    assert dense.dtype == torch.float32
    assert torch.equal(dense, expected)
    sparse = events.to_sparse(*pair, size=SIZE, binary=binary, **options)
    assert sparse.is_coalesced()
    assert sparse.shape == dense.shape
    assert torch.equal(sparse.indices(), dense.nonzero().t())
    assert torch.equal(sparse.values(), dense[dense > 0])
    assert torch.equal(sparse.to_dense(), dense)
    torch.sparse_coo_tensor(  # its invariants hold
        sparse.indices(), sparse.values(), sparse.shape, is_coalesced=True, check_invariants=True
    )


def test_multiples_of_a_step_start_their_bin():
    """Every microsecond and millisecond of a second, whose quotients are often just below."""
    for dt, count in ((1e-3, 1000), (1e-6, 100_000), (0.007, 500)):
        times = np.arange(count) * dt
        assert (np.floor(times / dt) != np.arange(count)).any() or dt == 1e-3
        dense = events.to_dense(times, np.zeros(count, int), size=1, steps=count, dt=dt)
        assert torch.equal(dense, torch.ones(count, 1))
    times = np.nextafter(np.arange(1, 1000) / 1024, 0) - 1e-9  # and what is before a bin stays so
    dense = events.to_dense(times, np.zeros(999, int), size=1, steps=1000, dt=1 / 1024)
    assert torch.equal(dense[:999], torch.ones(999, 1))


@pytest.mark.parametrize("types", [(np.float16, np.uint16), (np.float32, np.uint8), (float, int)])
def test_the_types_of_files(types):
    times, units = TIMES.astype(types[0]), UNITS.astype(types[1])
    found = events.to_dense(times, units, size=SIZE, steps=8, duration=1.0)
    assert torch.equal(found, by_hand(times.astype(float), UNITS, 8, 0.125))


def test_silence():
    nothing = np.zeros(0), np.zeros(0, int)
    assert not events.to_dense(*nothing, size=4, steps=5, dt=0.1).any()
    assert events.to_dense(*nothing, size=4, dt=0.1).shape == (1, 4)
    assert events.to_sparse(*nothing, size=4, steps=5, dt=0.1).indices().shape == (2, 0)
    assert events.to_dense([], [], size=4, steps=5, dt=0.1).shape == (5, 4)


SAMPLES = [events.Events(TIMES[:n], UNITS[:n]) for n in (7, 2, 0, 4)]
LABELS = [3, 0, 1, 2]


def test_padded():
    batch = events.padded(SAMPLES, LABELS, size=SIZE, dt=0.1)
    assert batch.inputs.shape == (4, 10, SIZE)
    lengths = [10, 1, 1, 4]
    for row, (sample, length) in enumerate(zip(SAMPLES, lengths, strict=True)):
        own = events.to_dense(*sample, size=SIZE, dt=0.1)
        assert len(own) == length
        assert torch.equal(batch.inputs[row, :length], own)
        assert not batch.inputs[row, length:].any()
    assert batch.mask.nonzero().tolist() == [[row, n - 1] for row, n in enumerate(lengths)]
    assert batch.answers.tolist() == LABELS
    fixed = events.padded(SAMPLES, LABELS, size=SIZE, steps=6, dt=0.1)
    assert fixed.mask.nonzero().tolist() == [[row, 5] for row in range(4)]
    outputs = torch.eye(5)[torch.tensor(LABELS)][:, None].expand(-1, 6, -1)
    assert events.metric(outputs, fixed) == {"accuracy": 1.0, "chance": 0.2}


def test_draws_and_epochs():
    options = {"batch_size": 3, "size": SIZE, "steps": 5, "dt": 0.2}
    whole = events.padded(SAMPLES, LABELS, size=SIZE, steps=5, dt=0.2)
    place = {label: row for row, label in enumerate(LABELS)}
    first, again = (events.draw(SAMPLES, LABELS, generator=seeded(1), **options) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)
    batches = list(events.epoch(SAMPLES, np.array(LABELS), generator=seeded(), **options))
    assert [len(batch.inputs) for batch in batches] == [3, 1]
    assert sorted(torch.cat([batch.answers for batch in batches]).tolist()) == [0, 1, 2, 3]
    for batch in (first, *batches):
        rows = [place[label] for label in batch.answers.tolist()]
        assert torch.equal(batch.inputs, whole.inputs[rows])


WRONG = {
    "both": ({"duration": 1.0}, ValueError, "exactly one of dt and duration .* got both"),
    "neither": ({"dt": None}, ValueError, "exactly one of dt and duration .* got neither"),
    "alone": ({"dt": None, "duration": 1.0, "steps": None}, ValueError, "come with steps"),
    "dt": ({"dt": 0}, ValueError, "dt must be a positive number of seconds, got 0"),
    "infinite": ({"dt": float("inf")}, ValueError, "dt must be a positive .* got inf"),
    "text": ({"dt": "1ms"}, TypeError, "dt must be a number of seconds, got str"),
    "steps": ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    "size": ({"size": 2.0}, TypeError, "size must be an int, got float"),
    "times": ({"times": TIMES[1:]}, ValueError, r"one shape \(n,\), got \(6,\) and \(7,\)"),
    "integers": ({"times": UNITS}, TypeError, "times must be seconds .* got torch.int64"),
    "negative": ({"times": TIMES - 1}, ValueError, "times must be .* not negative, got -1.0 to"),
    "nan": ({"times": TIMES * np.nan}, ValueError, "times must be finite .* got nan to nan"),
    "units": ({"units": UNITS + 1}, ValueError, r"units must be 0 ... 2 \(size - 1\), got 1 to 3"),
    "low units": ({"units": UNITS - 1}, ValueError, "units must be .* got -1 to 1"),
    "float units": ({"units": TIMES}, TypeError, "units must be integers, got torch.float64"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("function", [events.to_dense, events.to_sparse])
def test_wrong_arguments_are_named(case, function):
    changed, error, message = WRONG[case]
    arguments = {"times": TIMES, "units": UNITS, "size": SIZE, "steps": 5, "dt": 0.2} | changed
    with pytest.raises(error, match=message):
        function(arguments.pop("times"), arguments.pop("units"), **arguments)


@pytest.mark.parametrize(
    ("samples", "labels", "error", "message"),
    [
        (SAMPLES, [1, 2], ValueError, r"labels must have shape \(4,\) .* got \(2,\)"),
        (SAMPLES, [0.5] * 4, TypeError, "labels must be integers, got torch.float32"),
        (SAMPLES, [0, 1, 2, -1], ValueError, "labels must be at least 0, got -1"),
        ([], [], ValueError, "samples must hold a recording"),
    ],
)
@pytest.mark.parametrize("function", [events.padded, events.draw, events.epoch])
def test_wrong_samples_are_named(function, samples, labels, error, message):
    options = {} if function is events.padded else {"batch_size": 2, "generator": seeded()}
    with pytest.raises(error, match=message):
        function(samples, labels, size=SIZE, dt=0.1, **options)


#: x, y, polarity, microseconds, as 40 bits by hand.
EVENTS = {
    "00000000 00000000 0 00000000000000000000000": (0, 0, 0, 0),
    "00100001 00000010 1 00000000000000000000001": (33, 2, 1, 1),
    "00000001 00100001 0 11111111111111111111111": (1, 33, 0, 2**23 - 1),
    "00010001 00001000 1 00000100000001000000010": (17, 8, 1, 2**17 + 2**9 + 2),
}


def _bytes(bits: str) -> bytes:
    return int(bits.replace(" ", ""), 2).to_bytes(5, "big")


def test_the_bits_of_nmnist():
    found = event_files.nmnist_events(b"".join(map(_bytes, EVENTS)))
    assert found.times.tolist() == [us / 1e6 for *_, us in EVENTS.values()]
    assert found.units.tolist() == [(p * 34 + y) * 34 + x for x, y, p, _ in EVENTS.values()]
    assert event_files.nmnist_events(bytes([5, 7, 0x81, 2, 3])).times.tolist() == [0.066051]
    assert len(event_files.nmnist_events(b"").times) == 0
    dense = events.to_dense(*found, size=event_files.NMNIST_UNITS, dt=0.1)
    assert dense.sum() == 4
    frames = dense.view(-1, 2, 34, 34)  # polarity, row, column
    assert frames[0, 1, 2, 33] == 1
    assert frames[83, 0, 33, 1] == 1


@pytest.fixture
def nmnist(tmp_path):
    for digit, name, events_of in ((3, "00002", 1), (0, "00010", 2), (3, "00001", 3)):
        (tmp_path / str(digit)).mkdir(exist_ok=True)
        content = b"".join(map(_bytes, list(EVENTS)[:events_of]))
        (tmp_path / str(digit) / f"{name}.bin").write_bytes(content)
    return tmp_path


def test_a_folder_of_nmnist(nmnist):
    samples, labels, size = event_files.load_nmnist(nmnist)
    assert labels.tolist() == [0, 3, 3]
    assert [len(sample.times) for sample in samples] == [2, 3, 1]
    assert size == 2312
    assert events.padded(samples, labels, size=size, dt=0.01).inputs.shape == (3, 839, 2312)


def test_wrong_files_of_nmnist(nmnist, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match='expected folders "0" to "9"'):
        event_files.load_nmnist(tmp_path_factory.mktemp("empty"))
    (nmnist / "7").mkdir()
    (nmnist / "7" / "1.bin").write_bytes(bytes(7))
    with pytest.raises(ValueError, match=r"1\.bin is not .* events have 5 bytes, got 7 bytes"):
        event_files.load_nmnist(nmnist)
    (nmnist / "7" / "1.bin").write_bytes(bytes([34, 240, 0, 0, 0]))
    with pytest.raises(ValueError, match="below 34, got up to 34 and 240"):
        event_files.load_nmnist(nmnist)


def _write_shd(path, times=(TIMES, TIMES[:2]), units=(UNITS, UNITS[:2]), labels=(4, 19), drop=()):
    h5py = pytest.importorskip("h5py")
    columns = {
        "spikes/times": (times, h5py.vlen_dtype(np.float16)),
        "spikes/units": (units, h5py.vlen_dtype(np.uint16)),
    }
    with h5py.File(path, "w") as file:
        for name, (rows, dtype) in columns.items():
            if name not in drop:
                column = file.create_dataset(name, (len(rows),), dtype=dtype)
                for i, row in enumerate(rows):
                    column[i] = row
        if "labels" not in drop:
            file["labels"] = np.array(labels, np.uint16)
    return path


def test_shd(tmp_path):
    samples, labels, size = event_files.load_shd(_write_shd(tmp_path / "shd.h5"))
    assert (labels.tolist(), labels.dtype, size) == ([4, 19], np.int64, 700)
    for sample, n in zip(samples, (7, 2), strict=True):
        assert sample.times.dtype == np.float64
        np.testing.assert_array_equal(sample.times, TIMES[:n].astype(np.float16))
        np.testing.assert_array_equal(sample.units, UNITS[:n])
    batch = events.padded(samples, labels, size=size, steps=10, duration=1.4)
    assert batch.inputs.shape == (2, 10, 700)
    assert batch.inputs.sum() == 9


SPOILT = {
    "missing": (
        {"drop": ("spikes/units", "labels")},
        "holds no spikes/units, labels; it holds",
    ),
    "labels": ({"labels": (1,)}, "2 recordings of times, 2 of units and 1 labels"),
    "units": ({"units": (UNITS, UNITS[:1])}, "recording 1 of .* has 2 times and 1 units"),
    "range": ({"units": (UNITS + 700, UNITS[:2])}, "units must be 0 ... 699 .* got 700 to 702"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_wrong_files_of_shd(case, tmp_path):
    changed, message = SPOILT[case]
    with pytest.raises(ValueError, match=message):
        event_files.load_shd(_write_shd(tmp_path / "shd.h5", **changed))


def test_no_file_of_shd(tmp_path):
    pytest.importorskip("h5py")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; expected an HDF5 file"):
        event_files.load_shd(tmp_path / "nowhere")
    (tmp_path / "text").write_text("spikes")
    with pytest.raises(ValueError, match="text is not an HDF5 file"):
        event_files.load_shd(tmp_path / "text")


def test_shd_needs_h5py(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="a file of SHD needs h5py: pip install h5py"):
        event_files.load_shd(tmp_path / "shd.h5")
