"""A user's type checker reads the package: py.typed travels with it (test_packaging.py), every
public signature is annotated, and programs against them check or fail as they should."""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lrnn_kernels
from tests import ROOT

TYPED = Path(__file__).parent / "typed"

#: What a class is called by beside its public names.
SPECIAL = ("__init__", "__call__", "__getitem__", "__iter__", "__len__")


def _public(name: str = "lrnn_kernels") -> Iterator[tuple[str, object]]:
    """Every public name of the package by its path, those of its public modules among them."""
    module = importlib.import_module(name)
    own = [n for n, f in vars(module).items() if getattr(f, "__module__", "") == name]
    for public in getattr(module, "__all__", [n for n in own if not n.startswith("_")]):
        found = getattr(module, public)
        if inspect.ismodule(found):
            yield from _public(found.__name__)
        else:
            yield f"{name}.{public}", found


def _functions(name: str, found: object) -> Iterator[tuple[str, object]]:
    """A public function, or the public methods of a class that this package wrote."""
    if inspect.isfunction(found):
        yield name, found
    for base in found.__mro__ if inspect.isclass(found) else ():
        for method, value in vars(base).items():
            value = value.fget if isinstance(value, property) else value
            value = getattr(value, "__func__", value)  # of a static or class method
            if (
                inspect.isfunction(value)
                and value.__module__.startswith("lrnn_kernels")
                and (not method.startswith("_") or method in SPECIAL)
            ):
                yield f"{name}.{method}", value


def _lacks(function) -> list[str]:
    given = inspect.signature(function)
    lacking = [
        p.name
        for p in given.parameters.values()
        if p.annotation is p.empty and p.name not in ("self", "cls")
    ]
    silent = given.return_annotation is given.empty and function.__name__ != "__init__"
    return [*lacking, *(["return"] if silent else [])]


def test_every_public_signature_is_annotated():
    functions = {path: f for name, found in _public() for path, f in _functions(name, found)}
    assert len(functions) > 300
    assert {name: lacking for name, f in functions.items() if (lacking := _lacks(f))} == {}


def test_the_package_says_that_it_is_typed():
    assert (Path(lrnn_kernels.__file__).parent / "py.typed").exists()


@pytest.fixture
def mypy(request):
    """The checker, with a cache that outlives the run."""
    cache = request.config.cache.mkdir("mypy")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "mypy", *arguments, f"--cache-dir={cache}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout

    return run


def test_the_package_checks(mypy):
    """As pyproject.toml says."""
    said = mypy()
    assert "Success: no issues found" in said, said


def test_programs_of_users_check(mypy):
    """A right one in silence; of a wrong one, every line and no other, for the reason that stands
    there. Both in a run, which reads torch once."""
    paths = [str(TYPED / name) for name in ("consumer.py", "wrong.py")]
    said = mypy("--strict", "--config-file=", "--follow-imports=silent", *paths)
    found = re.findall(r"^(\S+\.py):(\d+): error: .*\[([a-z-]+)\]$", said, re.M)
    assert [(Path(path).name, int(line), why) for path, line, why in found] == [
        ("wrong.py", number, line.split("# error: ")[1])
        for number, line in enumerate((TYPED / "wrong.py").read_text().splitlines(), 1)
        if "# error: " in line
    ], said
