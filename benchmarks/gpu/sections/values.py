"""Values and gradients: every call of ``python -m lrnn_kernels check`` on the GPU's backends beside
the float64 reference, and populations of neurons beside the CPU's. Processes share the units, since
references and Triton's compiler take cores, not the GPU."""

from __future__ import annotations

from lrnn_kernels import testing
from lrnn_kernels.cells import CELLS
from lrnn_kernels.testing import check

from .. import neurons, shapes
from ..place import Limit, Place

#: Calls of a unit, at most; of Triton's fewer, each of which compiles two kernels or more.
CALLS = {"cuda": 120, "triton": 8}
NEURONS = "neurons"


def units(place: Place) -> list[tuple] | str:
    """(backend, cell, part, parts), and (backend, "neurons", model)."""
    found = []
    for backend in place.backends:
        cells = [c for c in CELLS if testing.serves(backend, CELLS[c].kernels[0])]
        few = [row.name for row in shapes.one_of_each_engine() if row.name in cells]
        for cell in place.pick(cells, few):
            parts = -(-len(cases(place, backend, cell)) // CALLS[backend])
            found += [(backend, cell, part, parts) for part in range(parts)]
        if backend in place.engines:
            models = place.pick(list(neurons.STEPS), list(neurons.STEPS)[-1:])
            found += [(backend, NEURONS, model) for model in models]
    return found


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    """Emits the worst errors of every kernel and type."""
    backend, cell, *rest = unit
    if cell == NEURONS:
        _neurons(place, backend, *rest, emit)
        return
    part, parts = rest
    mine = cases(place, backend, cell)[part::parts]
    checked = [(call, testing.run(call.double(), "reference")) for call in mine]
    for row in check.rows_of(cell, backend, checked):
        found = {
            "operator": cell,
            "kernel": row.kernel,
            "backend": backend,
            "dtype": str(row.dtype).removeprefix("torch."),
            "calls": sum((c.kernel.name, c.dtype) == (row.kernel, row.dtype) for c in mine),
            "value_error": row.value.error,
            "value_allowed": row.value.allowed,
            "gradient_error": row.gradient.error,
            "gradient_allowed": row.gradient.allowed,
            "bits": row.bits,
        }
        text = " ".join(check.cells_of(row))
        why = {} if row.ok else {"failed": row.note or "an error above what is allowed"}
        emit(**found, **why, text=text)


def cases(place: Place, backend: str, cell: str) -> list[testing.Call]:
    """The calls of the check that a backend serves."""
    every = [*check.calls(cell), *check.long_calls(cell)]
    served = [call for call in every if testing.serves(backend, call.kernel, call.channels)]
    return place.pick(served, served[:2] if backend == "cuda" else [small(cell)])


def small(cell: str) -> testing.Call:
    """One for an interpreter."""
    return testing.random_call(cell, 1, 3, 5, dtype=CELLS[cell].dtypes[0], reset=True)


def _neurons(place: Place, backend: str, model: str, emit) -> None:
    count, T = place.pick((neurons.COMPARED, neurons.COMPARED_MS), (3, 1.0))
    for found in neurons.compared(backend, model, place.device, count, T):
        emit(**found.as_json(), text=str(found))
