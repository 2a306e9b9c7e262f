"""Where Triton kernels run: in its interpreter, and on a GPU where there is one."""

import importlib.util

import pytest
import torch

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: pip install triton"
)


def _place(name: str, interpret: str):
    in_child = pytest.mark.in_child(TRITON_INTERPRET=interpret, OMP_NUM_THREADS="1")
    return pytest.param(name, marks=[in_child, needs_triton])


@pytest.fixture(
    params=[
        _place("interpreter", "1"),
        *([_place("gpu", "0")] if torch.cuda.is_available() else []),
    ]
)
def where(request) -> str:
    """Triton reads at its import whether it interprets, so each place is a process of its own."""
    return request.param


@pytest.fixture
def poisoned():
    """Every output buffer starts as NaN: torch allocates those of Triton's kernels."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
