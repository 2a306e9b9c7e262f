"""What a proof has found, written as it comes: a line of JSON for every event, on the disk before
the next one is waited for. A run that is killed leaves all that it reached.

    {"at": s, "minutes": m, ...}                                the first line: the run itself
    {"at": s, "section": s, "event": "begin", "budget_s": s}    a section has begun
    {"at": s, "section": s, "unit": [...], "result": {...}}     something was found
    {"at": s, "section": s, "unit": [...], "event": "left out", "why": "..."}
    {"at": s, "section": s, "unit": [...], "event": "failed", "why": "...", "wrote": "..."}
    {"at": s, "section": s, "event": "end", "state": one of STATES, "why": "..."}
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ..measure import report

STATES = {
    "done": "all of it was run",
    "cut": "its time was over before all of it was run",
    "skipped": "none of it was run",
    "running": "the run ended while it was at it",
}


class Journal:
    """The file of one run, and the JSON that is made of it."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.lines = folder / f"{name}.jsonl"
        self.records: list[dict] = []
        self._began = time.monotonic()
        self._file = self.lines.open("w")

    def write(self, **record: object) -> None:
        """Adds a line, with the seconds since the beginning."""
        record = {"at": round(time.monotonic() - self._began, 2), **record}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records.append(record)

    def save(self) -> Path:
        """Writes the JSON of all that is known so far."""
        return report.save(collect(self.records), self.folder, self.name)


def read(path: Path) -> list[dict]:
    """The lines of a file, but for a last one that was cut."""
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def collect(records: list[dict]) -> dict:
    """The content of the JSON: the run, and each section with its state, budget, seconds, results,
    failures and what was left out of it."""
    head = {name: x for name, x in (records[0] if records else {}).items() if name != "at"}
    sections: dict[str, dict] = {}
    for record in records[1:]:
        section = sections.setdefault(
            record["section"],
            {"state": "running", "why": "", "budget_s": 0.0, "seconds": 0.0, "began": record["at"]}
            | {"failures": [], "left_out": [], "results": []},
        )
        section["seconds"] = round(record["at"] - section["began"], 2)
        event, unit = record.get("event"), record.get("unit")
        if event == "begin":
            section["budget_s"] = record["budget_s"]
        elif event == "end":
            section |= {"state": record["state"], "why": record["why"]}
        elif event == "failed":
            about = {"unit": unit, "why": record["why"], "wrote": record["wrote"]}
            section["failures"].append(about)
        elif event == "left out":
            section["left_out"].append({"unit": unit, "why": record["why"]})
        else:
            result = record["result"]
            section["results"].append({"unit": unit, **result})
            if "failed" in result:
                section["failures"].append({"unit": unit, "why": result["failed"]})
        sections[record["section"]] = section
    seconds = records[-1]["at"] if records else 0.0
    return head | {"seconds": seconds, "sections": sections}


def failures(content: dict) -> list[str]:
    """What failed, in words, of a collected run."""
    return [
        f"{name}, {' '.join(map(str, failure['unit'] or []))}: {failure['why']}"
        for name, section in content["sections"].items()
        for failure in section["failures"]
    ]
