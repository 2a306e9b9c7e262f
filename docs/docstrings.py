"""Our docstrings as reStructuredText, for the site: they are plain text, with ``code`` in it.

A paragraph that is Python is shown as code. What is indented after a line that ends with a colon is
a list of "name: what it is" or, where it is not of that form, shown as it stands.
"""

from __future__ import annotations

import ast
import re

CODE = re.compile(r"(``.+?``)", re.S)
SPECIAL = re.compile(r"([\\*|`_])")
#: What begins an item: names, perhaps with a remark in brackets, and a colon.
ITEM = re.compile(r"([\w*.][^:\n]{0,70}?):(?: |$)(.*)", re.S)


def plain(text: str) -> str:
    """Text in which nothing is markup but ``code``."""
    parts = CODE.split(text)
    return "".join(part if CODE.fullmatch(part) else SPECIAL.sub(r"\\\1", part) for part in parts)


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines: of text, or of what is indented, blank lines within it included."""
    found: list[list[str]] = []
    for line in lines:
        inside = indent(line) > 0
        if not line.strip():
            if found and found[-1] and indent(found[-1][0]) > 0:
                found[-1].append("")
            else:
                found.append([])
        elif found and found[-1] and (indent(found[-1][0]) > 0) == inside:
            found[-1].append(line)
        else:
            found.append([line])
    return [block for block in found if any(block)]


def items(block: list[str]) -> list[str] | None:
    """The items of a list, each in one line; None where it is none."""
    first = indent(block[0])
    found: list[str] = []
    for line in block:
        if not line.strip():
            continue
        if indent(line) == first and (ITEM.match(line.strip()) or line.strip().startswith("- ")):
            found.append(line.strip().removeprefix("- "))
        elif not found:
            return None
        else:
            found[-1] += " " + line.strip()
    return found


def is_code(block: list[str]) -> bool:
    text = "\n".join(block)
    try:
        return bool(ast.parse(text).body) and ("=" in text or "(" in text)
    except SyntaxError:
        return False


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    out: list[str] = []
    before = ""
    for block in blocks(lines):
        if indent(block[0]) == 0 and is_code(block):
            out += ["::", "", *("    " + line for line in block)]
            before = ""
        elif indent(block[0]) == 0:
            bullets = block if all(x.startswith(("- ", "  ")) for x in block) else []
            text = [plain(line) for line in block]
            out += text if not bullets else [f"* {line[2:]}" for line in text]
            before = block[-1]
        else:
            found = items(block) if before.rstrip().endswith(":") else None
            if found is None:
                out += ["::", "", *("    " + line for line in block)]
            for item in found or []:
                match = ITEM.match(item)
                name, text = match.groups() if match else ("", item)
                out.append(f"* **{plain(name)}**: {plain(text)}" if name else f"* {plain(text)}")
        out.append("")
    return out


def setup(app) -> dict:
    def process(app, what, name, obj, options, lines) -> None:
        lines[:] = converted(lines)

    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
