"""The oldest Python that pyproject.toml promises reads every file, and has what is imported from
its library: tests run on a later one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

#: In that Python: of every file what it does not read, and names its library lacks. What is
#: imported for type checkers alone may be of any version.
SCRIPT = r"""
import ast, importlib, json, sys

def is_for_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)

def walk(node):
    yield node
    for child in () if is_for_checkers(node) else ast.iter_child_nodes(node):
        yield from walk(child)

def lacks(module, name):
    if module.split(".")[0] not in library:
        return False
    try:
        found = importlib.import_module(module)
        return bool(name) and not hasattr(found, name) and not importlib.import_module(
            module + "." + name)
    except ImportError:
        return True

def faults(path):
    try:
        tree = ast.parse(open(path, encoding="utf-8").read())
    except SyntaxError as error:
        return [f"{path}:{error.lineno}: {error.msg}"]
    wanted, modules = [], {}
    for node in walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                wanted.append((node.lineno, a.name, ""))
                modules[a.asname or a.name] = a.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted += [(node.lineno, node.module, a.name) for a in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in modules:
                wanted.append((node.lineno, modules[node.value.id], node.attr))
    return [
        f"{path}:{line}: {module} has no {name or 'such module'}"
        for line, module, name in sorted(set(wanted)) if lacks(module, name)
    ]

library, paths = json.load(sys.stdin)
print(json.dumps([fault for path in paths for fault in faults(path)]))
"""


def _oldest() -> str:
    """That Python, where this machine has it."""
    promised = re.search(r'requires-python = ">=(3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    name = f"python{promised[1]}"
    there = [
        shutil.which(name),
        *(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")).glob(
            f"{promised[1]}.*/bin/{name}"
        ),
    ]
    for program in filter(None, there):
        done = subprocess.run([program, "-c", ""], capture_output=True, check=False)
        if done.returncode == 0:  # a shim may stand for none
            return str(program)
    pytest.skip(f"this machine has no {name}")


def _faults(paths: list[Path]) -> list[str]:
    done = subprocess.run(
        [_oldest(), "-c", SCRIPT],
        input=json.dumps([sorted(sys.stdlib_module_names), [str(path) for path in paths]]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_oldest_python_has_what_is_imported():
    folders = ("lrnn_kernels", "triton_kernels", "benchmarks", "docs", "tests")
    paths = [ROOT / "setup.py", *(p for f in folders for p in sorted((ROOT / f).rglob("*.py")))]
    assert len(paths) > 300
    assert not _faults(paths)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from typing import Self", "typing has no Self"),
        ("import tomllib", "tomllib has no such module"),
        ("def f():\n    import math\n    return math.cbrt(8)", "math has no cbrt"),
        ("from collections.abc import Buffer as B", "collections.abc has no Buffer"),
        ("try:\n    pass\nexcept* ValueError:\n    pass", "syntax"),
        ("type Row = list[int]", "syntax"),
        ("from concurrent import futures\nimport os.path\nprint(os.path.join, futures)", ""),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Self", ""),
    ],
)
def test_it_would_be_found(tmp_path, text, says):
    (tmp_path / "module.py").write_text(text)
    found = _faults([tmp_path / "module.py"])
    assert len(found) == bool(says)
    assert says in "".join(found)
