"""A shard as a Parquet file: a row a neuron, with units and meanings in the columns' metadata."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ...extras import needs
from .settings import Settings

if TYPE_CHECKING:
    import pyarrow

#: Rows of a row group: a reader holds one at a time, and a writer's offsets are 32 bits in each.
ROWS = 16384
#: What the file's own metadata has beside the columns. Parquet has checksums of its pages, but
#: none of what describes them: CHECKSUM is of all that a reader makes of the file.
DROPPED, CHECKSUM = "dropped", "crc32"
#: Columns that are arrays of the same name.
_SAME = ("g_s", "g_u", "pair", "split", "firing_class")
#: Those in which a few values come back again and again.
_REPEATED = [*_SAME, "count", "status"]


def check() -> None:
    """Raises ImportError where pyarrow is missing."""
    _pyarrow()


def _pyarrow():
    with needs("a data set in Parquet", "pyarrow", extra="parquet"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow


def about(settings: Settings) -> str:
    """What a file holds, for the folder's README."""
    rows = [
        f"| {name} | {kind} | {meaning}{f', {unit}' if unit else ''} |"
        for name, kind, unit, meaning in _columns(settings)
    ]
    return "\n".join(
        [
            "Each `shard-*.parquet` holds neurons, one a row; a column's metadata has its unit and",
            "what it is, as here:",
            "",
            "| column | type | what it is |",
            "|---|---|---|",
            *rows,
            "",
            f"`{DROPPED}` in the file's metadata: neurons that had a negative conductance, and are "
            "not here.",
            "",
        ]
    )


def _columns(settings: Settings) -> list[tuple[str, str, str, str]]:
    """(name, type, unit, meaning) of every column."""
    model = settings.row
    target = f"DIC at {model.V_threshold:g} mV, by the leak; NaN without a target"
    kept = f"spikes from {settings.discard:g} ms on of {settings.T:g}"
    return [
        *(
            (_conductance(name), "double", "mS/cm^2", f"conductance of {name}")
            for name in model.channel_names
        ),
        ("g_s", "double", "", f"slow {target}"),
        ("g_u", "double", "", f"ultraslow {target}"),
        ("pair", "int64", "", "neurons of one pair have the same g_s and g_u"),
        ("split", "int8", "", "0 train, 1 validation, 2 test; one for all neurons of a pair"),
        ("firing_class", "int64", "", "0 silent, 1 spiking, 2 bursting"),
        ("spike_times", "list<double>", "ms", f"when it spiked: {kept}"),
        ("count", "int64", "", "how many spikes, those beyond the longest list included"),
        ("status", "int8", "", "0 fine, 1 invalid, 2 exploded, 3 overflow"),
    ]


def _conductance(channel: str) -> str:
    return f"gbar_{channel}"


def _schema(settings: Settings, dropped: int, checksum: int) -> pyarrow.Schema:
    pa = _pyarrow()
    types = {"list<double>": pa.list_(pa.field("element", pa.float64(), nullable=False))}
    fields = [
        pa.field(
            name,
            types.get(kind) or pa.type_for_alias(kind),
            nullable=False,
            metadata={"unit": unit, "description": meaning},
        )
        for name, kind, unit, meaning in _columns(settings)
    ]
    of_file = {
        "model": settings.model,
        "T": f"{settings.T!r} ms",
        "discard": f"{settings.discard!r} ms",
        DROPPED: str(dropped),
        CHECKSUM: f"{checksum:08x}",
    }
    return pa.schema(fields, metadata=of_file)


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    """Of all numbers, and of how many there are of each."""
    total = 0
    for name in sorted(arrays):
        x = np.ascontiguousarray(arrays[name])
        total = zlib.crc32(f"{name} {x.dtype} {x.shape}".encode(), total)
        total = zlib.crc32(x.data.cast("B") if x.size else b"", total)
    return total


def write(file: BinaryIO, arrays: dict[str, np.ndarray], settings: Settings) -> None:
    """The same arrays give the same bytes, of one version of pyarrow."""
    pa = _pyarrow()
    n = len(arrays["g"])
    schema = _schema(settings, int(arrays["dropped"]), _checksum(arrays))
    with pa.parquet.ParquetWriter(
        file, schema, use_dictionary=_REPEATED, write_page_checksum=True
    ) as writer:
        for first in range(0, n, ROWS):
            writer.write_table(_table(arrays, slice(first, min(first + ROWS, n)), schema))


def _table(arrays: dict[str, np.ndarray], rows: slice, schema: pyarrow.Schema) -> pyarrow.Table:
    pa = _pyarrow()
    offsets = arrays["offsets"][rows.start : rows.stop + 1]
    values = {
        **{field.name: g for field, g in zip(schema, arrays["g"][rows].T, strict=False)},
        **{name: arrays[name][rows] for name in _SAME},
        "count": arrays["counts"][rows],
        "status": arrays["status"][rows],
    }
    columns = {
        name: pa.array(np.ascontiguousarray(x), schema.field(name).type)
        for name, x in values.items()
    }
    columns["spike_times"] = pa.ListArray.from_arrays(
        pa.array(offsets - offsets[0], pa.int32()),
        pa.array(arrays["times"][offsets[0] : offsets[-1]]),
        type=schema.field("spike_times").type,
    )
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def read(content: bytes, settings: Settings) -> dict[str, np.ndarray]:
    """The arrays of a file's bytes; raises where these are no whole shard."""
    pa = _pyarrow()
    file = pa.parquet.ParquetFile(pa.py_buffer(content), page_checksum_verification=True)
    table = file.read()
    table.validate(full=True)
    metadata = table.schema.metadata or {}
    dropped, checksum = (metadata[name.encode()].decode() for name in (DROPPED, CHECKSUM))
    schema = _schema(settings, int(dropped), int(checksum, 16))
    if not table.schema.equals(schema):
        raise ValueError(f"columns {table.schema.names} are not {schema.names}, or of other types")
    arrays = {**_arrays(table, settings), "dropped": np.int64(int(dropped))}
    if _checksum(arrays) != int(checksum, 16):
        raise ValueError("its checksum is another")
    return arrays


def _arrays(table: pyarrow.Table, settings: Settings) -> dict[str, np.ndarray]:
    """The arrays that were written."""

    def column(name: str) -> np.ndarray:
        return np.array(table[name].to_numpy())  # a copy, which may be written to

    chunks = table["spike_times"].chunks
    times = [chunk.flatten().to_numpy() for chunk in chunks]
    held = [np.diff(chunk.offsets.to_numpy()) for chunk in chunks]
    channels = [column(_conductance(name)) for name in settings.row.channel_names]
    return {
        "g": np.stack(channels, axis=1),
        **{name: column(name) for name in _SAME},
        "times": np.concatenate([np.empty(0), *times]),
        "offsets": np.cumsum(np.concatenate([[0], *held]), dtype=np.int64),
        "counts": column("count"),
        "status": column("status"),
    }
