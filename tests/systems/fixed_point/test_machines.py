"""The fixed-point network on machines without torch or a compiler."""

import os
import subprocess
import sys

import pytest

from lrnn_kernels.fixed_point import check
from tests import ROOT


def _run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
import lrnn_kernels
assert "fixed_point" in lrnn_kernels.__all__
for name in ("bmru", "nn", "explain"):
    try:
        getattr(lrnn_kernels, name)
    except ImportError as error:
        assert str(error) == f"lrnn_kernels.{name} needs torch: pip install torch", error
    else:
        raise AssertionError(name)
assert not hasattr(lrnn_kernels, "nonsense")
try:
    from lrnn_kernels import min_gru
except ImportError as error:
    assert "needs torch" in str(error), error
network = lrnn_kernels.fixed_point.Network([np.full((10, 4), 30)])
print(network.classify(np.full((2, 4), 255, np.uint8), 55).labels.tolist())
from lrnn_kernels.__main__ import main
assert main(["info"]) == 0
assert main(["check"]) == 0
"""


def test_it_works_without_torch():
    out = _run(WITHOUT_TORCH)
    assert out.startswith("[0, 0]\n")
    assert "only lrnn_kernels.fixed_point works" in out
    assert f"{check.run_check(1)[0]} compared bit for bit, 0 differ" in out


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("compiler", "no C++ compiler was found"),
        ("pybind11", "needs pybind11: pip install pybind11"),
    ],
)
def test_without_compiled_kernels_the_reference_runs_where_it_is_asked_for(
    missing, words, tmp_path
):
    script = f"""
import sys
sys.modules["torch"] = sys.modules["pybind11"] = None
import numpy as np
from lrnn_kernels.fixed_point import Network, library, traces
library.INSTALLED = library.INSTALLED.with_name("nothing.so")
network, images = Network([np.full((10, 4), 30)]), np.full((2, 4), 255, np.uint8)
print(network.classify(images, 55, backend="reference").labels.tolist())
for call in (network.classify, traces):
    try:
        call(images)
    except RuntimeError as error:
        assert {words!r} in str(error) and 'backend="reference"' in str(error), error
    else:
        raise AssertionError("a named backend must run or raise")
"""
    environment = {"LRNN_CACHE": str(tmp_path)}
    if missing == "compiler":
        environment.update(PATH=str(tmp_path), CXX="")
    assert _run(script, **environment) == "[0, 0]\n"
