"""The house: what lives where, what may know what, and that lists of recurrences derive from
their rows."""

import ast
import importlib
import inspect
import pkgutil

import pytest

import lrnn_kernels
from lrnn_kernels import cells, testing
from lrnn_kernels.backends import choose
from lrnn_kernels.backends.build import libraries
from lrnn_kernels.backends.contract import Backend
from lrnn_kernels.cell import Cell
from lrnn_kernels.cells import CELLS, KERNELS
from tests import ROOT

PACKAGE = "lrnn_kernels"

#: Each room and those that it may import from; triton_kernels belongs to the backends, which load
#: it. ``build`` is setup.py's, too.
MAY_IMPORT = {
    "extras": set(),
    "options": set(),
    "version": set(),
    "cell": {"options"},
    "build": set(),
    "backends": {"build", "cell", "options"},
    "calls": {"backends", "cell", "options"},
    "cells": {"calls", "backends", "cell", "options"},
    "nn": {"cells", "calls", "cell", "fixed_point", "options"},
    "models": {"nn", "calls", "options", "extras"},
    "multistability": {"nn", "calls", "options"},
    "agents": {"nn", "cells", "calls", "options"},
    "integrations": {"models", "nn", "calls", "options", "extras"},
    "testing": {"cells", "calls", "backends", "cell", "options"},
    "tasks": {"multistability", "nn", "options", "extras"},
    "neurons": {"backends", "calls", "options", "version", "extras"},
    "memory": {"backends"},
    "fixed_point": {"build"},
    "machine": {"build"},
    "info": {"backends", "build", "fixed_point", "machine", "memory", "version"},
    "__main__": {"info", "testing", "fixed_point"},
    "__init__": {
        "agents",
        "version",
        "fixed_point",
        "memory",
        "models",
        "multistability",
        "neurons",
        "nn",
        "tasks",
        "cells",
    },
}

#: Modules at the package's root: more of them would be a heap again.
MOST_AT_THE_ROOT = 10


def sources() -> dict[str, str]:
    """Every module of the package by its name, packages as NAME.__init__; triton_kernels as it
    is installed."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = path.read_text()
    for path in sorted((ROOT / "triton_kernels").rglob("*.py")):
        found[".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts))] = path.read_text()
    return found


def room_of(module: str) -> str:
    name = module.split(".")[1]
    if module.startswith(f"{PACKAGE}.backends.build"):
        return "build"
    return "backends" if name == "triton_kernels" else name


def imported(module: str, modules: dict[str, str]) -> list[tuple[str, str]]:
    """(module, name) of all that a module imports from the package, in functions too; name is ""
    where it is the module itself."""
    found = []
    for node in ast.walk(ast.parse(modules[module])):
        if isinstance(node, ast.Import):
            found += [
                _found(alias.name, "", modules)
                for alias in node.names
                if alias.name.split(".")[0] == PACKAGE
            ]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            if source.split(".")[0] == PACKAGE:
                found += [_found(source, alias.name, modules) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            found += _imported_by_name(module, node.args[0], modules)
    return found


def _imported_by_name(
    module: str, name: ast.expr, modules: dict[str, str]
) -> list[tuple[str, str]]:
    if isinstance(name, ast.Constant):
        return [_found(name.value, "", modules)] if name.value.split(".")[0] == PACKAGE else []
    parts = name.values if isinstance(name, ast.JoinedStr) else [None]
    assert isinstance(parts[0], ast.FormattedValue), (
        f"{module} imports {ast.unparse(name)}, which cannot be read here"
    )
    assert ast.unparse(parts[0].value) == "__name__", (
        f"{module} imports {ast.unparse(name)}, which cannot be read here"
    )
    return []  # a module of its own package


def _found(source: str, name: str, modules: dict[str, str]) -> tuple[str, str]:
    for inner in (f"{source}.{name}", f"{source}.{name}.__init__"):
        if name and inner in modules:
            return inner, ""
    return (source if source in modules else f"{source}.__init__"), name


def wrong_ways(modules: dict[str, str]) -> list[str]:
    """Imports that point up, or sideways, from one room to another."""
    found = []
    for module in modules:
        room = room_of(module)
        for target, _ in imported(module, modules):
            other = room_of(target)
            if other != room and other not in MAY_IMPORT[room]:
                found.append(f"{module} -> {target}")
    return found


def circles(modules: dict[str, str]) -> list[str]:
    """Modules that import themselves by way of others."""
    graph = {
        module: {target for target, _ in imported(module, modules)} & modules.keys()
        for module in modules
    }
    while leaves := {module for module, targets in graph.items() if not targets}:
        graph = {
            module: targets - leaves for module, targets in graph.items() if module not in leaves
        }
    return sorted(
        module
        for module, targets in graph.items()
        if any(module in graph[target] for target in targets) or targets
    )


def private(modules: dict[str, str]) -> list[str]:
    """Names with an underscore that are used in another folder than their own."""
    found = []
    for module in modules:
        folder = module.rpartition(".")[0]
        others = {}
        for target, name in imported(module, modules):
            if (
                target.removesuffix(".__init__").rpartition(".")[0] == folder
                or target.rpartition(".")[0] == folder
            ):
                continue
            if name.startswith("_") and not name.endswith("__"):
                found.append(f"{module}: {target}.{name}")
            if not name:
                others[target.removesuffix(".__init__").split(".")[-1]] = target
        tree = ast.parse(modules[module])
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                others |= {
                    a.asname: others[a.name] for a in node.names if a.asname and a.name in others
                }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr.startswith("_")
                and not node.attr.endswith("__")
            ):
                name = ast.unparse(node.value)
                if name in others:
                    found.append(f"{module}: {others[name]}.{node.attr}")
    return found


def asked_by_name(modules: dict[str, str]) -> list[str]:
    """Cells and kernels that are named in code that should get them from a row; a cell's own
    file names it, and public names are public."""
    names, found = {*CELLS, *KERNELS}, []
    theirs = (f"{PACKAGE}.cells.", f"{PACKAGE}.triton_kernels.", f"{PACKAGE}.__init__")
    theirs += (f"{PACKAGE}.backends.build.libraries",)  # which files take longest to compile
    for module, text in modules.items():
        if module.startswith(theirs):
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value in names
            ):
                found.append(f"{module}:{node.lineno} {node.value!r}")
    return found


def test_imports_point_one_way():
    assert wrong_ways(sources()) == []


def test_no_module_imports_itself_by_way_of_others():
    assert circles(sources()) == []


def test_no_private_name_leaves_its_folder():
    assert private(sources()) == []


def test_no_code_asks_for_a_cell_by_name():
    assert asked_by_name(sources()) == []


def test_few_modules_lie_at_the_root():
    assert len(list((ROOT / PACKAGE).glob("*.py"))) <= MOST_AT_THE_ROOT


#: What must be found: a module, a line planted in it, and the rule that it breaks.
PLANTED = {
    "an import that points up": ("calls.run", "from ..cells import CELLS", wrong_ways),
    "one within a function": (
        "backends.cpu",
        "def f():\n    from lrnn_kernels.calls import run",
        wrong_ways,
    ),
    "one by name": (
        "backends.choose",
        "import importlib\nimportlib.import_module('lrnn_kernels.testing')",
        wrong_ways,
    ),
    "a layer that knows a network": ("nn.base", "from ..models import Backbone", wrong_ways),
    "a sideways one": ("nn.base", "from .. import testing", wrong_ways),
    "a layer that knows a system": ("nn.base", "from ..multistability import vaa", wrong_ways),
    "a layer that knows a task": ("nn.base", "from ..tasks import Batch", wrong_ways),
    "a neuron that knows a layer": ("neurons.simulate", "from ..nn import GRU", wrong_ways),
    "one of what setup.py loads alone": (
        "backends.build.cache",
        "from ..cpu import missing",
        wrong_ways,
    ),
    "one of Triton's": ("triton_kernels.launch", "from ..calls.run import run", wrong_ways),
    "a circle of two": ("backends.operators", "from .cpu import ready", circles),
    "a circle in a function": ("cells.linear", "def f():\n    from .lru import LRU", circles),
    "a private name": ("calls.run", "from ..backends.cpu import _extension", private),
    "one by its module": ("nn.base", "from ..calls import run as r\nr._layouts", private),
    "a cell by its name": ("calls.run", "def f(cell):\n    return cell == 'src'", asked_by_name),
    "a table of kernels": ("backends.operators", "STREAMS = {'linear': 2}", asked_by_name),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted):
    module, line, rule = PLANTED[planted]
    modules, name = sources(), f"{PACKAGE}.{module}"
    modules[name] += f"\n{line}\n"
    assert any(name in found for found in rule(modules))


def test_what_cannot_be_read_is_refused():
    modules = sources()
    modules[f"{PACKAGE}.calls.run"] += "\nimport importlib\nimportlib.import_module(name)\n"
    with pytest.raises(AssertionError, match="cannot be read"):
        wrong_ways(modules)


def test_every_row_is_in_the_list():
    """A file in cells/ whose rows nobody imports would be left out of everything in silence."""
    for file in pkgutil.iter_modules(cells.__path__):
        module = importlib.import_module(f"{PACKAGE}.cells.{file.name}")
        rows = [row for row in vars(module).values() if isinstance(row, Cell)]
        assert rows, f"cells/{file.name}.py has no row"
        assert all(CELLS[row.name] is row for row in rows)


def test_the_kernels_of_the_rows_are_those_that_are_compiled():
    """csrc/cells/list.h says which recurrences there are in C++; rows and list agree, on engines
    too."""
    assert {(kernel.name, kernel.engine) for kernel in KERNELS.values()} == {
        (cell.name, cell.engine) for cell in libraries.cells()
    }
    for row in CELLS.values():
        assert all(KERNELS[kernel.name] is kernel for kernel in row.kernels)
        assert all(
            kernel.streams == len(row.inputs) and kernel.states == len(row.states)
            for kernel in row.kernels
        )


def test_variants_reach_every_kernel():
    reached = set()
    for row in CELLS.values():
        chosen = {
            row.kernel(options, has_reset)
            for options in testing.variants(row.name)
            for has_reset in (False, True)
        }
        assert chosen <= set(row.kernels)
        reached |= chosen
    assert {kernel.name for kernel in reached} == KERNELS.keys()


def test_every_public_function_is_public():
    functions = {f for row in CELLS.values() for f in (row.function, row.streaming)}
    assert {name for name in lrnn_kernels.__all__ if getattr(lrnn_kernels, name) in functions} == {
        f.__name__ for f in functions
    }
    for row in CELLS.values():
        assert row.streaming.__name__ == f"{row.function.__name__}_step"


@pytest.mark.parametrize("backend", choose.BACKENDS)
def test_backends_keep_one_contract(backend):
    module = choose.BACKENDS[backend]
    assert isinstance(module.NAMESPACE, str)
    for name, promised in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("_"):
            expected = [
                p for p in inspect.signature(promised).parameters.values() if p.name != "self"
            ]
            assert list(inspect.signature(getattr(module, name)).parameters.values()) == expected, (
                name
            )
