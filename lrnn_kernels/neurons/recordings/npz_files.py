"""NumPy's archives: an array for each unit, or all times in one with offsets or units."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from .errors import RecordingError, listed, quoted, reason, said
from .recorded import Found
from .time_units import UNITS, agreed, origin

LARGEST = 2**33  # bytes unpacked: a small file may claim to be of any size
_LAYOUTS = "times and offsets, or times and units, or one array of times for each unit"


def found(data: bytes, source: str, unit: str | None) -> Found:
    """What an NPZ holds."""
    arrays = _arrays(data, source)
    inside = _unit(arrays.pop("unit", None), source)
    keys = set(arrays)
    for name, array in arrays.items():
        if array.ndim == 0 and array.dtype.kind in "US":
            raise RecordingError(
                f"{source}: {said(name)} is a word; is it the unit of time? Name it unit"
            )
        if array.ndim != 1:
            raise RecordingError(
                f"{source}: {said(name)} must be one row of numbers, got shape {array.shape} "
                f"({_LAYOUTS})"
            )
    if keys == {"times", "offsets"} or keys == {"times", "offsets", "names"}:
        layout, names, times, counts = _by_offsets(arrays, source)
    elif keys == {"times", "units"}:
        layout, names, times, counts = _by_units(arrays, source)
    elif keys & {"times", "offsets", "units", "names"} or not keys:
        holds = listed(sorted(keys)) if keys else "no array"
        raise RecordingError(f"{source}: it holds {holds}; expected {_LAYOUTS}")
    else:
        layout, names = "one array for each unit", list(arrays)
        rows = [_numbers(name, array, source) for name, array in arrays.items()]
        times, counts = np.concatenate(rows), np.array([len(row) for row in rows])
    where = "its array 'unit'" if inside else "an array unit='ms' or unit='s' in it"
    chosen = agreed(source, unit, inside, where)
    said_by = origin(inside, where)
    return Found(names, times, counts, f"NPZ, {layout}", chosen, said_by, UNITS[chosen])


def _arrays(data: bytes, source: str) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise RecordingError(f"{source}: it is no NPZ, or is cut off (np.savez writes one)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if "[Content_Types].xml" in names:
                raise RecordingError(f"{source}: it is a spreadsheet: save it there as CSV UTF-8")
            if other := [entry.filename for entry in entries if _is_other(entry.filename)]:
                raise RecordingError(f"{source}: it holds {listed(other)}, which is no array")
            if len(set(names)) != len(names):
                raise RecordingError(f"{source}: it holds two arrays of one name")
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise RecordingError(f"{source}: it unpacks to more than {LARGEST:,} bytes")
            return {
                name: _array(archive.read(entry), name, source)
                for name, entry in zip(names, entries, strict=True)
            }
    except RecordingError:
        raise
    except Exception as error:  # broken archives end in errors of many kinds
        raise RecordingError(f"{source}: it is damaged ({reason(error)})") from error


def _is_other(name: str) -> bool:
    return not name.endswith(".npy")


def _array(content: bytes, name: str, source: str) -> np.ndarray:
    """An array of NumPy's format whose header is looked at first: it may claim any size."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if header is None:
        raise RecordingError(f"{source}: {said(name)} is written in an unknown version of .npy")
    shape, _, dtype = header(file)
    if dtype.hasobject:
        raise RecordingError(
            f"{source}: {said(name)} holds Python objects, which are refused (to read them is to "
            "run them): save one array for each unit, np.savez(path, unit='ms', name=times, ...)"
        )
    size = dtype.itemsize
    for n in shape:
        size *= n
    if min(shape, default=0) < 0 or size != len(content) - file.tell():
        raise RecordingError(f"{source}: {said(name)} is cut off, or longer than it says")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _unit(array: np.ndarray | None, source: str) -> str | None:
    if array is None:
        return None
    value = array.item() if array.size == 1 else None
    value = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(value, str) or value not in UNITS:
        got = quoted(value) if array.size == 1 else f"{array.size} entries"
        raise RecordingError(f"{source}: its array 'unit' must be 's' or 'ms', got {got}")
    return value


def _numbers(name: str, array: np.ndarray, source: str) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise RecordingError(f"{source}: {said(name)} must hold numbers, got {array.dtype}")
    with np.errstate(over="ignore"):  # a long double, to infinity, which is refused
        return array.astype(np.float64)


def _by_offsets(arrays: dict[str, np.ndarray], source: str):
    times, offsets = _numbers("times", arrays["times"], source), arrays["offsets"]
    fits = offsets.dtype.kind in "iu" and len(offsets) > 0
    if fits:
        offsets = offsets.astype(np.int64)
        fits = offsets[0] == 0 and offsets[-1] == len(times) and (np.diff(offsets) >= 0).all()
    if not fits:
        raise RecordingError(
            f"{source}: offsets must be whole numbers that ascend from 0 to the number of times, "
            f"{len(times)} (unit b has times[offsets[b]:offsets[b + 1]])"
        )
    names = [str(n + 1) for n in range(len(offsets) - 1)]
    if "names" in arrays:
        names = _names("names", arrays["names"], source)
        if len(names) != len(offsets) - 1:
            raise RecordingError(
                f"{source}: it has {len(names)} names for {len(offsets) - 1} units"
            )
        if len(set(names)) != len(names):
            raise RecordingError(f"{source}: its names are not all different")
    return "times and offsets", names, times, np.diff(offsets)


def _by_units(arrays: dict[str, np.ndarray], source: str):
    times, units = _numbers("times", arrays["times"], source), arrays["units"]
    if len(units) != len(times):
        raise RecordingError(
            f"{source}: units must name the unit of every time, got {len(units)} for "
            f"{len(times)} times"
        )
    _names("units", units[:1], source)
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)  # of each of the sorted, in order of appearance
    rank[np.argsort(first)] = np.arange(len(first))
    codes = rank[codes]
    names = _names("units", units[np.sort(first)], source)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(names))
    return "times and units", names, times[order], counts


def _names(key: str, array: np.ndarray, source: str) -> list[str]:
    if array.dtype.kind not in "iuUS":
        raise RecordingError(f"{source}: {key} must be whole numbers or names, got {array.dtype}")
    return [x.decode("latin-1") if isinstance(x, bytes) else str(x) for x in array.tolist()]
