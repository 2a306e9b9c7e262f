"""Names of units, one for each."""

from __future__ import annotations

from collections import Counter


def distinct(names: list[str]) -> tuple[list[str], list[str]]:
    """Names that differ, numbered where several units had one, and what to say of it."""
    if len(set(names)) == len(names):
        return names, []
    count, seen, taken, found = Counter(names), Counter(), set(names), []
    for name in names:
        new = name
        if count[name] > 1:
            while new in taken:
                seen[name] += 1
                new = f"{name} ({seen[name]})"
            taken.add(new)
        found.append(new)
    return found, ["Several units had one name: they are numbered"]
