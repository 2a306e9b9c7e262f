"""Every CUDA kernel under sanitizers, on the executor: no access out of bounds, no undefined
behaviour, no race.

One process per sanitizer: with one loaded, to import torch takes longer than the kernels do.
"""

import pytest

from tests.backends.cuda import executor

SCRIPT = """
import sys
from tests.backends.cuda import calls, executor, test_kernels, test_latch, test_matrix, test_steps
library = calls.declare(executor.Executor(sys.argv[1]))
test_kernels.run_every_kernel(library, 1, {layouts})
test_steps.run_every_kernel(library, 2, {shapes})
test_latch.run_every_kernel(library, 3)
test_matrix.run_every_kernel(library, 4)
print("finished")
"""

#: Layouts of affine cells and shapes of step cells. Where threads share nothing no race is
#: possible.
CASES = {
    "address": {
        "layouts": ((32, 1, 13), (4, 16, 5)),
        "shapes": ("narrow", "wide", "few wide", "chunks"),
    },
    "thread": {"layouts": ((8, 8, 7),), "shapes": ("narrow", "chunks")},
}


@pytest.mark.parametrize("sanitizer", CASES)
def test_sanitizers_find_nothing(sanitizer):
    done = executor.sanitized(
        sanitizer,
        SCRIPT.format(**CASES[sanitizer]),
        executor.compile_library(executor.kernels(), sanitizer),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "finished" in done.stdout


POPULATIONS = """
import sys
from tests.backends.cuda import executor, test_populations
test_populations.run_every_kernel(executor.Executor(sys.argv[1]), 5)
print("finished")
"""


@pytest.mark.parametrize("sanitizer", CASES)
def test_sanitizers_find_nothing_in_populations(sanitizer):
    units = [*executor.populations(), executor.source("population_bridge.cpp")]
    done = executor.sanitized(sanitizer, POPULATIONS, executor.compile_library(units, sanitizer))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "finished" in done.stdout
