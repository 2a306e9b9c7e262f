"""The tests of the CUDA kernels can fail: bugs planted in a copy of csrc/ are found, each by the
check that is meant to find it."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from lrnn_kernels import testing
from lrnn_kernels.backends.build import environment
from lrnn_kernels.backends.build.libraries import Unit
from lrnn_kernels.testing import check
from tests.backends.cuda import (
    calls,
    executor,
    matrix_calls,
    step_calls,
    test_kernels,
    test_latch,
    test_populations,
)


@dataclass(frozen=True)
class Bug:
    """A text in a file of csrc/cuda or csrc/cells and what it is replaced by; found by wrong
    results, or by what a sanitizer says."""

    file: str
    text: str
    replacement: str
    sanitizer: str = ""
    words: str = ""


_BARRIER = "totals);\n  __syncthreads();\n  const int warps"
_RACE, _BOUNDS = ("thread", "data race"), ("address", "overflow")

BUGS = {
    "nothing": Bug("groups.cuh", "", ""),
    "no barrier before totals are read": Bug("groups.cuh", _BARRIER, "totals);\n  const int warps"),
    "the same, as a race": Bug("groups.cuh", _BARRIER, "totals);\n  const int warps", *_RACE),
    "no barrier before the next tile": Bug(
        "groups.cuh", "__syncthreads();  // before the next tile's totals", "", *_RACE
    ),
    "maps composed in the wrong order": Bug(
        "groups.cuh", "map = composed(before, map)", "map = composed(map, before)"
    ),
    "a tail one too long": Bug(
        "streams.cuh",
        "if (i < scalars) some.s[i] = p[i]",
        "if (i <= scalars) some.s[i] = p[i]",
        *_BOUNDS,
    ),
    "a step past the end": Bug(
        "affine.cuh", "Cell::kUsesState && first + s + 1 < args.T", "Cell::kUsesState", *_BOUNDS
    ),
    "a chunk that no carry has passed": Bug(
        "affine.cuh", "chunk < blockIdx.y ?", "chunk + 1 < blockIdx.y ?"
    ),
    "sums that are not flushed at the end": Bug(
        "affine.cuh", "void done() { flush(); }", "void done() {}"
    ),
    "a shared slot of partial sums": Bug(
        "affine.cuh", "* blockDim.y + threadIdx.y;\n    clear", "* blockDim.y;\n    clear", *_RACE
    ),
    "a reset that is not seen": Bug(
        "affine.cuh", "h = load_boundary<Io>(args.h_reset, k);\n      for", "h = h;\n      for"
    ),
    "a summary in the wrong order": Bug(
        "affine.cuh", "map = composed(earlier, map)", "map = composed(map, earlier)"
    ),
    "a summary that stops where the last channel does": Bug(
        "affine.cuh", "holds |= map.scale", "holds = map.scale"
    ),
    "a first write that forgets others": Bug(
        "latch.cuh", "atomicMin(row + i, first_write[i])", "row[i] = first_write[i]", *_RACE
    ),
    "bits of another byte": Bug(
        "latch.cuh", "% kWordSteps) / kByteSteps;", "% kWordSteps) / kByteSteps ^ 1;"
    ),
    "the state after a step for that before": Bug(
        "latch.cuh", "args.T - 2 - position", "args.T - 1 - position"
    ),
    "a workspace that blocks share": Bug(
        "step_backward.cuh", "(workspace) + blockIdx.x * K", "(workspace) + 0 * K", *_RACE
    ),
    "a workspace a row too short": Bug(
        "step_backward.cuh",
        "((first + s - lo) * kSaved + i)",
        "((first + s + 1 - lo) * kSaved + i)",
        *_BOUNDS,
    ),
    "lanes that nobody takes": Bug(
        "step_backward.cuh",
        "lane += static_cast<int64_t>(gridDim.x)",
        "lane += 2 * static_cast<int64_t>(gridDim.x)",
    ),
    "states of the wrong step": Bug(
        "step_backward.cuh", "where.load(step - 1, i)", "where.load(step, i)"
    ),
    "a chunk that no adjoint has passed": Bug(
        "step_chunks.cuh",
        "first + i < blockIdx.y) maps[i].apply",
        "first + i + 1 < blockIdx.y) maps[i].apply",
    ),
    "dh_last enters every chunk": Bug(
        "step_chunks.cuh",
        "if (blockIdx.y > 0)\n      for (auto& values",
        "if (false)\n      for (auto& values",
    ),
    "a reset that adjoints pass": Bug(
        "step_chunks.cuh", "number = tile.reset[s] ? R(0) : number", "number = number"
    ),
    "a map of the next chunk": Bug(
        "step_chunks.cuh",
        "map.row(share, blockIdx.y, ",
        "map.row(share, blockIdx.y + 1, ",
        *_BOUNDS,
    ),
    "a slot that chunks share": Bug(
        "step_backward.cuh", "slot(k.b * gridDim.y + blockIdx.y)", "slot(k.b * gridDim.y)", *_RACE
    ),
    "a number before it is there": Bug("exchange.cuh", "waits |= found[n] >> 32 != tag;", ""),
    "words that are told anew before all have heard them": Bug(
        "matrix.cuh", "return words + tag % 2 * Vectors::kWords;", "return words;"
    ),
    "no barrier before a vector is read": Bug("matrix.cuh", "__syncthreads();", "", *_RACE),
    "the vector of another batch element": Bug(
        "matrix.cuh", "(e * kHeard + vector)", "(0 * e + vector)"
    ),
    "late terms of early matrices": Bug(
        "matrix.cuh", "w[kFirst + vector + result]", "w[vector + result]"
    ),
    "one state for all": Bug("matrix.cuh", "x.data ? get<R>(x, 0, i)", "x.data ? get<R>(x, 0, 0)"),
    "a late vector that nobody is told": Bug(
        "matrix_passes.cuh",
        "k.template tell<1>(&late); k.template hear<1>();",
        "static_cast<void>(late);",
    ),
    "the state before for that after": Bug(
        "matrix_passes.cuh", "before[i] = h[i]", "before[i] = after[i]"
    ),
    "late terms that nothing comes back through": Bug(
        "matrix_passes.cuh",
        "tile.before[s], through, tile.dy[s]",
        "tile.before[s], R(0), tile.dy[s]",
    ),
    "a state whose adjoint passes a reset": Bug(
        "matrix_passes.cuh", "adjoint[i] = R(0)", "adjoint[0] = R(0)"
    ),
    "a row of partial sums for all": Bug(
        "matrix_passes.cuh", "args.dparams[(k.b * kParams + i)", "args.dparams[(0 * k.b + i)"
    ),
    "states of the wrong plane": Bug("matrix_passes.cuh", "t, kSaved + i);", "t, kSaved);"),
    "a checkpoint a step late": Bug(
        "step.cuh", "until_saved = args.interval - 1", "until_saved = args.interval"
    ),
    "a plane of another state": Bug("step.cuh", "+ state * x.plane", "+ (3 - state) % 3 * x.plane"),
}

#: Of a cell: found by what python -m lrnn_kernels check runs on a GPU, as a GPU lays it out.
CELL_BUGS = {
    "nothing in a cell": Bug("src.h", "", ""),
    "adjoints that do not go on": Bug(
        "src.h", "kCarried = kGradient == Gradient::kFull ? 3 : 1", "kCarried = 0"
    ),
    "adjoints of which one does not go on": Bug(
        "src.h", "kCarried = kGradient == Gradient::kFull ? 3 : 1", "kCarried = 2"
    ),
}
#: Of populations of neurons.
POPULATION_BUGS = {
    "nothing in a population": Bug("population.cuh", "", ""),
    "a row that is laid out while it is read": Bug(
        "population.cuh", "__syncthreads();  // all have done with the row before", "", *_RACE
    ),
    "a row that is read before it is laid out": Bug(
        "population.cuh", "count, row);\n      __syncthreads();", "count, row);"
    ),
    "threads without a neuron that store": Bug(
        "population.cuh", "if (is_one) neuron.store();", "neuron.store();"
    ),
    "threads without a neuron that run": Bug(
        "population.cuh", "if (!is_one) continue;", "", *_RACE
    ),
    "a time of the launch for that of the run": Bug(
        "population_launch.cuh", "call.all.first_step = step;", ""
    ),
    "samples of the launch for those of the run": Bug(
        "population_launch.cuh", "sample - samples_before(args.first_step, every)", "0"
    ),
    "no record where a launch is first to": Bug(
        "population_launch.cuh", "if (due < call.steps)", "if (due > 0 && due < call.steps)"
    ),
    "a spike too many": Bug(
        "population.cuh", "if (n < args.max_spikes)", "if (n <= args.max_spikes)", *_BOUNDS
    ),
    "a crossing in the middle of a step": Bug(
        "population.cuh", "(args.up - vo) / (vn - vo)", "0.5 * (vo < vn)"
    ),
    "spikes before discard": Bug("population.cuh", "else if (crossing >= args.discard)", "else"),
    "a neuron that is above and forgets it": Bug(
        "population.cuh", "to[kN + ExtraColumns::above] = above", "to[kN + ExtraColumns::above] = 0"
    ),
    "E from nowhere": Bug("population.cuh", "E = E == E ? E : m.J", "E = E == E ? E : V(0) * m.J"),
    "white numbers of the launch before": Bug(
        "population.cuh", "if (which == 0 || !drawn)", "if (which == 0)"
    ),
    "noise that is fused": Bug("noise.h", "return __fmul_rn(a.x, b.x);", "return a.x * b.x;"),
    "the wrong share of a sample": Bug(
        "population.cuh", "static_cast<double>(within) + 0.5", "static_cast<double>(within) + 0.4"
    ),
    "a current of another neuron": Bug("population.cuh", "args.current_columns + b;", "b;"),
    "states of the wrong column": Bug(
        "population.cuh", "call.states[c] == k ? x[k] : value", "c == k ? x[k] : value"
    ),
    "an estimate without its Newton steps": Bug(
        "arithmetic.h", "if constexpr (sizeof(S) == 4) return r;", "return r;"
    ),
}
BUGS |= CELL_BUGS | POPULATION_BUGS

PLANS = ((32, 1, 40), (8, 8, 40), (32, 4, 40), (8, 16, 128))

SCRIPT = """
import sys
from tests.backends.cuda import test_bugs
test_bugs.run(test_bugs.opened(sys.argv[1], {bug!r}), {bug!r})
print("finished")
"""


def opened(path: Path | str, bug: str) -> executor.Executor:
    library = executor.Executor(path)
    return library if bug in POPULATION_BUGS else calls.declare(library)


def run(library: executor.Executor, bug: str) -> bool:
    """Whether results are right, of the kernels that a bug is in, over plans and interleavings."""
    if bug == "nothing":
        return run_scans(library) and run_matrix_cells(library)
    if bug in CELL_BUGS:
        return run_check(library)
    if bug in POPULATION_BUGS:
        return run_populations(library)
    of_matrices = BUGS[bug].file in ("exchange.cuh", "matrix.cuh", "matrix_passes.cuh")
    return run_matrix_cells(library) if of_matrices else run_scans(library)


def run_populations(library: executor.Executor) -> bool:
    """As a whole, and in pieces and launches that end anywhere."""
    drives = ("nothing", "waveforms", "noise")
    return all(
        test_populations.is_right(library, "hh", dtype, scheme, how, seed)
        for seed, (dtype, scheme) in enumerate(test_populations.SCHEMES)
        for how in drives
    )


def run_check(library: executor.Executor) -> bool:
    calls_of_check = [call for call in check.long_calls("src") if call.kernel.name == "src"]
    assert calls_of_check
    return not any(calls.errors(call, step_calls.run(call, library)) for call in calls_of_check)


def run_matrix_cells(library: executor.Executor) -> bool:
    """Five blocks, which take four batch elements at a time, and then two."""
    for seed in range(4):
        library.configure(resident=1, seed=seed)
        cell, options = (("lstm", {}), ("gru", {"reset_after": False}))[seed % 2]
        call = testing.random_call(
            cell, 6, 4, 130, options=options, reset=True, h_reset="per_batch", seed=seed
        )
        try:
            if calls.errors(call, matrix_calls.run(call, library, multiprocessors=5)):
                return False
        except RuntimeError:  # they wait without end
            return False
    return True


def run_scans(library: executor.Executor) -> bool:
    right = True
    for seed, plan in enumerate(PLANS):
        library.configure(resident=4, seed=seed)
        for C in (16, 7):
            call = testing.random_call(
                "linear_scan_per_channel", 2, 130, C, reset=True, h_reset="per_batch", seed=seed
            )
            right &= not calls.errors(call, calls.run(call, library, **test_kernels.plans(plan)))
            call = testing.random_call("bmru", 2, 70, C, seed=seed)
            layout = test_latch.PLANS[
                ("groups within a warp", "chunks of groups", "chunks")[seed % 3]
            ]
            right &= not calls.errors(
                call, calls.run(call, library, kernel="bmru", **test_kernels.plans(layout))
            )
            options = {**testing.variants("src")[2], "memory": (7, "states")[seed % 2]}
            call = testing.random_call(
                "src", 2, 40, 5 * C, options=options, reset=True, h_reset="per_batch", seed=seed
            )
            right &= not calls.errors(
                call,
                step_calls.run(call, library, step_calls.Shape("narrow", 32, 1 + seed, 12)),
            )
    return right


def compile_with(bug: str, sanitizer: str):
    """The library whose sources have the bug."""
    planted = BUGS[bug]
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(executor.CSRC, copy, dirs_exist_ok=True)
        path = next(Path(copy).rglob(planted.file))
        source = path.read_text()
        if planted.text:
            # However the formatter breaks its lines.
            text = r"\s+".join(map(re.escape, planted.text.split()))
            changed, count = re.subn(text, lambda _: planted.replacement, source)
            assert count == 1, f"{planted.file} does not hold once: {planted.text}"
            path.write_text(changed)
        units = [
            executor.source("one_kernel.cu"),
            Unit("csrc", "cuda/plan.cpp", (), "plan"),
            executor.source("bridge.cpp"),
        ]
        if bug in POPULATION_BUGS:
            only = "#define LRNN_NEURONS(X) \\\n  X(hh, Hh)\n"
            (Path(copy) / "neurons" / "list.h").write_text(only)
            units = executor.populations("planted", Path(copy))
            units.append(executor.source("population_bridge.cpp"))
        return executor.compile_library(
            units, sanitizer, folders={"planted": Path(copy)}, include=("planted",)
        )


@pytest.fixture(scope="module")
def libraries(request) -> Iterator[dict[str, Future]]:
    """Of every bug that is asked for, its library: while one is tried, the next are compiled."""
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    bugs = dict.fromkeys(params["bug"] for params in asked if params.get("bug") in BUGS)
    pool = ThreadPoolExecutor(environment.max_jobs() or os.cpu_count() or 1)
    yield {bug: pool.submit(compile_with, bug, BUGS[bug].sanitizer) for bug in bugs}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(bug, libraries):
    sanitizer, words = BUGS[bug].sanitizer, BUGS[bug].words
    library = libraries[bug].result()
    if not sanitizer:
        assert run(opened(library, bug), bug) == (not BUGS[bug].text)
        return
    done = executor.sanitized(sanitizer, SCRIPT.format(bug=bug), library)
    assert done.returncode != 0, done.stdout
    assert words in done.stderr, done.stderr[-4000:]


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sanitizers_find_nothing_where_nothing_is_planted(sanitizer):
    done = executor.sanitized(
        sanitizer, SCRIPT.format(bug="nothing"), compile_with("nothing", sanitizer)
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "finished" in done.stdout
