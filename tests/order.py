"""Files that take minutes run first, so that of several processes none is left alone with one at
the end: pytest-xdist would begin with those of the most tests, which are short ones."""

import pytest

from tests import ROOT

#: The slowest first.
SLOW = (
    "backends/cuda/test_bugs.py",
    "package/test_packaging.py",
    "package/test_cuda_library.py",
    "backends/cuda/test_sanitizers.py",
    "backends/cuda/test_matrix.py",
    "backends/triton/test_populations.py",
    "package/test_benchmark_models.py",
    "package/test_build.py",
    "package/test_guide.py",
    "systems/fixed_point/test_vhdl.py",
    "backends/triton/test_values.py",
    "systems/claims/test_claims.py",
    "systems/neurons/test_engine.py",
    "package/test_benchmarks.py",
    "backends/cuda/test_benchmark.py",
    "backends/cpu/test_instructions.py",
    "systems/integrations/test_onnx.py",
    "package/test_examples.py",
    "layers/test_compile.py",
)

_PLACE = {ROOT / "tests" / name: place for place, name in enumerate(SLOW)}


def pytest_configure(config: pytest.Config) -> None:
    lost = [path.name for path in _PLACE if not path.is_file()]
    assert not lost, f"tests/order.py names files that are not there: {', '.join(lost)}"
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist's
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _PLACE.get(item.path, len(SLOW)))
