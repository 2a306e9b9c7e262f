"""docs/adding_a_cell.md as edits of a tree: what the guide says, done literally."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SECTION = re.compile(r"^## (.+)$", re.M)
_FENCE = re.compile(r"^```\w+\n(.*?)^```$", re.M | re.S)
_NEW = re.compile(r"`([\w./]+)`, new[.:]")
_AFTER = re.compile(r"(?:`([\w.]*/[\w./]+)`|`__all__`), after\s+`([^`]+)`")


@dataclass(frozen=True)
class Edit:
    """A file to write, or lines to put after the one that holds ``after``."""

    path: str
    text: str
    after: str | None = None

    def apply(self, root: Path) -> None:
        file = root / self.path
        if self.after is None:
            assert not file.exists(), f"{self.path} is said to be new"
            file.write_text(self.text)
            return
        lines = file.read_text().splitlines(keepends=True)
        places = [i for i, line in enumerate(lines) if self.after in line]
        assert len(places) == 1, f"{self.path} holds {self.after!r} {len(places)} times"
        lines.insert(places[0] + 1, self.text)
        file.write_text("".join(lines))


def edits(guide: str) -> dict[str, list[Edit]]:
    """Every edit that the guide asks for, by the title of its section."""
    _, *parts = _SECTION.split(guide)
    found = {}
    for title, section in zip(parts[::2], parts[1::2], strict=True):
        start, path, made = 0, None, []
        for fence in _FENCE.finditer(section):
            said = section[start : fence.start()]
            start = fence.end()
            if match := _NEW.search(said):
                path = match[1]
                made.append(Edit(path, fence[1]))
            elif match := _AFTER.search(said):
                path = match[1] or path
                made.append(Edit(path, fence[1], match[2]))
            else:
                raise ValueError(f"{title}: the guide does not say where this goes: {fence[1]}")
        if made:
            found[title] = made
    return found
