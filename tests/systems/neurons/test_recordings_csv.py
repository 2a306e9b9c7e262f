"""CSV: written by csv, pandas and NumPy and read back, bit for bit; and what is refused."""

import csv
import io
import re

import numpy as np
import pytest

from lrnn_kernels.neurons.recordings import RecordingError, csv_columns, csv_text

from .recorded import CELLS, npz, read, refused, same

BY_LINE = dict(zip("123", CELLS.values(), strict=True))


def written(rows, **options) -> str:
    file = io.StringIO()
    csv.writer(file, **options).writerows(rows)
    return file.getvalue()


LONG = [(name, t) for name, times in CELLS.items() for t in times]


@pytest.mark.parametrize("options", [{}, {"quoting": csv.QUOTE_ALL}, {"lineterminator": "\r"}])
def test_what_csv_writes_is_read(options):
    assert same(read(written(CELLS.values(), **options), unit="ms"), BY_LINE)
    assert same(read(written([("unit", "time_ms"), *LONG], **options)), CELLS)
    backwards = [
        ("", "Time_ms ", "x", "Unit"),
        *((k, t, "a,b", n) for k, (n, t) in enumerate(LONG)),
    ]
    assert same(read(written(backwards, **options)), CELLS)
    lists = [("id", "spiking_times_ms"), *CELLS.items()]
    assert same(read(written(lists, **options)), CELLS)
    blanks = [(n, " ".join(map(str, t)).join("[]")) for n, t in CELLS.items()]
    assert same(read(written([("name", "spiking_times"), *blanks], **options), unit="ms"), CELLS)
    nameless = [("x", "spiking_times_ms"), *(("?", t) for t in CELLS.values())]
    assert same(read(written(nameless, **options)), BY_LINE)


def test_what_pandas_writes_is_read():
    import pandas

    long = pandas.DataFrame(LONG, columns=["unit", "time_ms"])
    assert same(read(long.to_csv()), CELLS)
    assert same(read(long.to_csv(index=False)), CELLS)
    lists = pandas.DataFrame({"id": list(CELLS), "spiking_times_ms": list(CELLS.values())})
    assert same(read(lists.to_csv()), CELLS)
    ragged = pandas.DataFrame(map(pandas.Series, CELLS.values()))  # NaN where a unit has fewer
    assert same(read(ragged.to_csv(index=False, header=False), unit="ms"), BY_LINE)
    nan = read(ragged.to_csv(index=False, header=False, na_rep="NaN"), unit="ms")
    assert same(nan, BY_LINE)
    assert [unit.nan for unit in nan.report.units] == [1, 0, 3]
    arrays = pandas.DataFrame({"spiking_times_ms": [np.arange(40) / 7, np.arange(2000.0)]})
    refused(
        arrays.to_csv(),
        "line 9: '...' is no number; the list was cut when it was written: write times.tolist(), "
        "not an array",
    )
    broken = read(arrays[:1].to_csv())  # over several lines, as NumPy prints
    assert broken.spikes[0].numpy() == pytest.approx(np.arange(40) / 7, abs=5e-9)


def test_what_numpy_writes_is_read():
    file = io.StringIO()
    codes = np.repeat([4, 2, 9], [len(times) for times in CELLS.values()])
    table = np.column_stack((codes, np.concatenate(list(CELLS.values()))))
    np.savetxt(file, table, delimiter=",", header="unit,time_ms", comments="", fmt=("%d", "%.17g"))
    assert same(read(file.getvalue()), dict(zip("429", CELLS.values(), strict=True)))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_are_the_whole(size, monkeypatch):
    """However few lines are looked at together."""
    monkeypatch.setattr(csv_text, "PIECE", size)
    monkeypatch.setattr(csv_columns, "BATCH", size)
    assert same(read(written(CELLS.values()), unit="ms"), BY_LINE)
    assert same(read(written([("unit", "time_ms"), *LONG])), CELLS)
    assert same(read(written([("unit", "time_ms"), *LONG], quoting=csv.QUOTE_ALL)), CELLS)
    odd = {'the "best" cell': [1.0, 2.0, 3.0], "a\n\nb,c": [4.0, 5.5], " 7": [6.0]}
    table = [("x", "unit", "time_ms"), *((n, n, t) for n, times in odd.items() for t in times)]
    assert same(read(written(table)), {n.strip(): times for n, times in odd.items()})
    refused(written([("unit", "time_ms"), *LONG, ("b", "x")]), "line 13: 'x' is no number; names of"
            " units are read under a header, as unit,time_ms")  # fmt: skip
    refused("1,2,3\n\n1,2\n3,4-\n", "line 4: '4-' is no number", unit="s")


def test_what_spreadsheets_do_to_a_csv_is_fine():
    text = (
        "\ufeff\r\n3,1,2,NaN,,\r\n\r\n 9 , 7.5,\t8 ,NA,n/a,,11\r\n,,,\r\n1.e1,+2E1,.5\r\n\r\n,,\r\n"
    )
    recorded = read(text, unit="ms")
    assert recorded.names == ["2", "4", "6"]
    assert recorded.spikes.to_lists() == [[1, 2, 3], [7.5, 8, 9, 11], [0.5, 10, 20]]
    assert recorded.report.empty == ["1", "3", "5"]
    assert [unit.nan for unit in recorded.report.units] == [0, 1, 0, 3, 0, 0]
    text = "\ufeffunit,time_ms\r\n\r\na,1,,\r\na,\r\na\r\n,,\r\na,2\r\na,NaN\r\na,3"
    recorded = read(text)
    assert recorded.spikes.to_lists() == [[1, 2, 3]]
    assert recorded.report.units[0].nan == 3
    text = '"Spiking_Times_s"\r\n\r\n"[1, 2, NaN, 3,]"\r\n"[]"\r\nNaN\r\n[ 4 5\t6 ]\r\n'
    recorded = read(text)
    assert recorded.spikes.to_lists() == [[1000, 2000, 3000], [4000, 5000, 6000]]
    assert recorded.report.empty == ["2", "3"]


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize(
    "comments", ["# recorded 2026\n", "#\n\n # a; b, time_s\n,,\n#x\n", '"# 1,2",,\n']
)
def test_comments_above_a_header_are_not_read(comments, size, monkeypatch):
    """They say nothing, nor of the unit of time; lines are still told by their numbers."""
    monkeypatch.setattr(csv_text, "PIECE", size)
    lists = written([("id", "spiking_times"), *CELLS.items()])
    for table, unit in ((written([("unit", "time_ms"), *LONG]), None), (lists, "ms")):
        plain, found = read(table, unit=unit), read(comments + table, unit=unit)
        assert found.names == plain.names
        assert found.spikes.to_lists() == plain.spikes.to_lists()
        assert found.report.unit_from == plain.report.unit_from
        (note,) = found.report.notes
        count = comments.count("#")
        assert note == f"Not read: {count} comment line{'s' if count > 1 else ''} above the header"
    number = (comments + table).count("\n") + 1
    refused(f"{comments}{table}x,3\n", f"line {number}: '3' is no list in brackets, as [1.2, 3.4]",
            unit="ms")  # fmt: skip
    with pytest.raises(RecordingError, match="are its times in s or in ms"):
        read(comments + lists)


def test_a_column_may_be_named_as_a_comment_begins():
    numbered = [("#", "unit", "time_ms"), *((k, n, t) for k, (n, t) in enumerate(LONG))]
    lists = [("#", "id", "spiking_times_ms"), *((k, *x) for k, x in enumerate(CELLS.items()))]
    for options in ({}, {"quoting": csv.QUOTE_ALL}):
        assert same(read(written(numbered, **options)), CELLS)
        assert same(read(written(lists, **options)), CELLS)


@pytest.mark.parametrize(
    ("header", "stated", "outcome"),
    [
        ("time", None, None),
        ("time", "s", 1000),
        ("time_s", None, 1000),
        ("time_s", "s", 1000),
        ("TIME_MS", None, 1),
        ("time_ms", "s", "the unit of time was stated as s, but the file says ms (its column"),
        ("time_s", "ms", "the unit of time was stated as ms, but the file says s (its column"),
    ],
)
def test_the_unit_is_stated(header, stated, outcome):
    for text in (
        f"unit,{header}\na,1\na,2\na,3\n",
        f"spiking_{header.replace('e', 'es', 1)}\n[1,2,3]",
    ):
        text = text.replace("TIME_MS", "TIMES_MS") if "spiking_T" in text else text
        if isinstance(outcome, int):
            assert read(text, unit=stated).spikes.to_lists() == [
                [outcome, 2 * outcome, 3 * outcome]
            ]
        else:
            with pytest.raises(RecordingError, match=re.escape(outcome or "in s or in ms? State")):
                read(text, unit=stated)
    with pytest.raises(RecordingError, match="are its times in s or in ms"):
        read("1,2,3")


@pytest.mark.parametrize(
    "text", ["1,0.5\n1,0.7\n2,0.9\n", "0.5,7\n0.7,7\n0.9,8\n", "1,2\n1,3\n", "1.0,2.5\n\n1.0,3\n,,"]
)
def test_pairs_are_ambiguous(text):
    with pytest.raises(
        RecordingError, match="are these units of two spikes each, or pairs of unit"
    ):
        read(text, unit="ms")


def test_what_only_looks_like_pairs_is_read():
    assert read("1,0.5\n1,0.7\n1,2,3\n", unit="ms").names == ["1", "2", "3"]


#: What neuroscientists have on their disks under the name of a CSV, and what they are told.
BROKEN = {
    "empty": (b"", "it is empty"),
    "blank": (b" \r\n\n", "it is empty"),
    "commas": (b",,,\n,,\n", "it holds no entries"),
    "no numbers": (b"NaN,NaN\nNA\n", "it holds no spike times"),
    "prose": (
        "Spike times of cell 3, recorded in June.",
        "its first line, 'Spike times of cell 3', 'recorded in June.', is neither of numbers nor a "
        "header that is known: expected no header and one unit a line, or a header with the "
        "columns unit,time_ms (or time_s), or with spiking_times_ms (or spiking_times_s)",
    ),
    "a header of its own": (
        "neuron,spike\n1,2.5\n",
        "its first line, 'neuron', 'spike', is neither of numbers nor a header that is known: "
        "expected no header and one unit a line, or a header with the columns unit,time_ms (or "
        "time_s), or with spiking_times_ms (or spiking_times_s)",
    ),
    "units without times": (
        "unit,spikes\n1,2.5\n",
        "its header, 'unit', 'spikes', has no column of times: expected no header and one unit a "
        "line, or a header with the columns unit,time_ms (or time_s), or with spiking_times_ms (or "
        "spiking_times_s)",
    ),
    "times of nobody": (
        "time_ms\n1\n2\n3\n",
        "it has a column time_ms and none that says whose: add a column unit (the same for every "
        "time, if there is one unit)",
    ),
    "two columns of times": (
        "unit,time_ms,time_s\na,1,1\n",
        "which column holds the times, of 'time_ms', 'time_s'? Keep one",
    ),
    "two columns of units": ("unit,time,unit\n", "two of its columns are named 'unit'"),
    "a header alone": ("unit,time_ms\n", "it holds no spike times"),
    "a header of lists alone": ("spiking_times_ms\n", "it has a header, and no row under it"),
    "semicolons": (
        "unit;time_ms\na;1,5\n",
        "semicolons separate its entries: write commas between them, and points in decimals (1.5, "
        "not 1,5)",
    ),
    "semicolons further down": (
        "1,2,3\n4;5;6\n",
        "line 2: '4;5;6' is no number; semicolons separate its entries: write commas between them, "
        "and points in decimals (1.5, not 1,5)",
    ),
    "tabs": (
        "1.5\t2.5\t3.5\n",
        "tabs separate its entries: write commas between them, and points in decimals (1.5, not "
        "1,5)",
    ),
    "blanks": (
        "1.5 2.5 3.5\n",
        "line 1: '1.5 2.5 3.5' is no number; blanks separate its entries: write commas between "
        "them, and points in decimals (1.5, not 1,5)",
    ),
    "decimal commas in quotes": (
        'unit,time_ms\na,"1,5"\n',
        "line 2: '1,5' is no number; write a point in decimals (1.5, not 1,5)",
    ),
    "decimal commas": (
        "unit,time_ms\na,1,5\n",
        "line 2 has 3 entries, and the header 2: write points in decimals (1.5, not 1,5), and what "
        "holds commas in quotes",
    ),
    "a name before times": (
        "cell1,1,2,3\n",
        "line 1: 'cell1' is no number; names of units are read under a header, as unit,time_ms",
    ),
    "a bad entry": ("1,2,3\n4,5.5.5,6\n", "line 2: '5.5.5' is no number"),
    "a bad time": ("unit,time_ms\na,1\n\na,1:30\n", "line 4: '1:30' is no number"),
    "a bad entry of a list": (
        'spiking_times_ms\n"[1, 2]"\n"[3, -, 5]"\n',
        "line 3: '-' is no number",
    ),
    "underscores": ("1,2,1_000\n", "line 1: '1_000' is no number"),
    "digits of another script": ("1,2,\u0663\n", "line 1: '\u0663' is no number"),
    "hexadecimals": ("1,2,0x10\n", "line 1: '0x10' is no number"),
    "numbers of NumPy": (
        'spiking_times_ms\n"[np.float64(1.5), np.float64(2.5)]"\n',
        "line 2: 'np.float64(1.5)' is no number, but Python's; write times.tolist()",
    ),
    "lists without header": (
        '"[1.5, 2.5]"\n',
        "line 1: '[1.5, 2.5]' is no number; lists in brackets need a header, spiking_times_ms or "
        "spiking_times_s",
    ),
    "no brackets": (
        'spiking_times_ms\n"1.5, 2.5"\n',
        "line 2: '1.5, 2.5' is no list in brackets, as [1.2, 3.4]",
    ),
    "an open bracket": (
        "spiking_times_ms\n[1.5, 2.5\n",
        "line 2: cannot tell the cells in '[1.5, 2.5'",
    ),
    "an open quote": (
        'unit,time_ms\n"a,1\n',
        "line 2: cannot tell the cells in '\"a,1'",
    ),
    "lists of lists": (
        'spiking_times_ms\n"[[1.5, 2.5], [3]]"\n',
        "line 2: '[1.5' is no number; lists in brackets need a header, spiking_times_ms or "
        "spiking_times_s",
    ),
    "a unit twice": (
        "id,spiking_times_ms\n7,[1]\n7,[2]\n",
        "lines 2 and 3 are both of unit 7: each unit has one row",
    ),
    "no unit": ("unit,time_ms\na,1\n,2\n", "line 3 does not say of which unit its time is"),
    "a list of no unit": ("id,spiking_times_ms\nNA,[1]\n", "line 2 does not name its unit"),
    "comments": (
        "# of cell 3\n1,2,3\n",
        "line 1 is a comment, '# of cell 3': comment lines are read above a header alone; remove "
        "them",
    ),
    "a comment and prose": (
        "# of cell 3\nspikes\n1,2,3\n",
        "line 1 is a comment, '# of cell 3': comment lines are read above a header alone; remove "
        "them",
    ),
    "a header that is a comment": (
        "# 2026\n# unit,time_ms\n1,1.5,0.2\n1,2.5,0.3\n",
        "line 2 is a comment, '# unit,time_ms': if it is the header, write it without # (np.savetxt"
        " with comments='')",
    ),
    "comments alone": ("# unit,time_ms\n# 1,2\n", "it holds no entries"),
    "comments among units": (
        "1,2,3\n# of cell 3\n1,2,3\n",
        "line 2: '# of cell 3' is no number; comment lines are read above a header alone; remove "
        "them",
    ),
    "a time each line": (
        "1.5\n2.5\n3.5\n",
        "none of its 3 units has more than 1 spike, and 3 are the fewest that tell anything: each "
        "line is one unit; if each line is one time, put them on one line, or add a unit to each "
        "and the header unit,time_ms (or unit,time_s)",
    ),
    "too few": ("1.5,2.5\n", "its one unit has 2 spikes, and 3 are the fewest that tell anything"),
    "infinite": ("1,2,3\n4,-inf\n", "unit 2 has an infinite time"),
    "overflown": ("1,2,1e400\n", "unit 1 has an infinite time"),
    "samples for times": (
        "1,2,3000000000\n",
        "unit 1 has a spike at 3e+09 ms, beyond 1e+09 ms (11 days); is ms the right unit, and are "
        "these times?",
    ),
    "UTF-16": (
        "1,2,3".encode("utf-16"),
        "its text is UTF-16 (Excel's Unicode text): save it as CSV UTF-8",
    ),
    "Latin-1": (
        "unit,time_ms\nn\u00e9uron,1\n".encode("latin-1"),
        "line 2 holds bytes that are no UTF-8: save it as CSV UTF-8",
    ),
    "a spreadsheet": (
        b"PK\x03\x04\x14\0\x06\0",
        "it is a spreadsheet (it begins with PK): save it there as CSV UTF-8",
    ),
    "an old spreadsheet": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "it is a spreadsheet: save it there as CSV UTF-8; a CSV is plain text",
    ),
    "HDF5": (
        b"\x89HDF\r\n\x1a\n\0",
        "it is an HDF5 file (name it .nwb if it is NWB, .nix if it is NIX); a CSV is plain text",
    ),
    "an NPZ": (npz(a=[1.0]), "it is an NPZ: name it .npz"),
    "a pickle": (b"\x80\x04\x95", "line 1 holds bytes that are no UTF-8: save it as CSV UTF-8"),
    "a picture": (b"GIF\0", "it is no text: save it as CSV UTF-8"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused_in_words(kind):
    data, expected = BROKEN[kind]
    header = isinstance(data, str) and re.match(r".*time(s)?_m?s", data)
    refused(data, expected, unit=None if header else "ms")
