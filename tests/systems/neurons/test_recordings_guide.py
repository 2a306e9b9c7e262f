"""docs/recordings.md runs as it stands, and says what comes out."""

import re

from tests import ROOT

GUIDE = (ROOT / "docs/recordings.md").read_text()


def test_the_guide(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(code, scope)
    assert capsys.readouterr().out.splitlines()[:-3] == [
        "['1', '2'] Spikes(2 neurons, 8 spikes)",
        "cells.csv: CSV, one unit a line; times in ms, as stated.",
        "2 units with 8 spikes kept, of 2 units with 10 entries.",
        "Dropped: 1 NaN in unit 2.",
        "Dropped: 1 exact duplicate in unit 2.",
        "Sorted, for their times were not ascending: unit 2.",
        "Kept: 2 of 6 intervals (33 %) under 1 ms, refractory violations, in unit 2.",
    ]


def test_what_it_says_comes_out(monkeypatch, tmp_path, capsys):
    """Each remark behind a print that quotes what is printed."""
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    exec(code, {})
    out = capsys.readouterr().out
    quoted = re.findall(r"^print\(.*\)  # (\[.*)$", code, re.MULTILINE)
    assert len(quoted) == 3
    assert all(remark in out.splitlines() for remark in quoted)
