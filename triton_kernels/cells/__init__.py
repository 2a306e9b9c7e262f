"""One file a recurrence, under the names of csrc/cells/; each declares its operators in CELLS."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..cell import AffineCell, StepCell


def _declared() -> dict[str, AffineCell | StepCell]:
    """The tables of all files here, in one."""
    cells: dict[str, AffineCell | StepCell] = {}
    for file in iter_modules(__path__):
        declared = import_module(f"{__name__}.{file.name}").CELLS
        if twice := cells.keys() & declared:
            raise ImportError(f"cells/{file.name}.py declares {sorted(twice)}, as another does")
        cells |= declared
    return cells


#: Every cell by the name of its operator.
CELLS = _declared()
