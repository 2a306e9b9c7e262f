"""What the tests share: the grid of cells, options and types, the backends of this machine,
threads, poisoned buffers."""

import multiprocessing
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import torch

from lrnn_kernels import memory, testing
from lrnn_kernels.cells import CELLS, KERNELS

# Asked for, the way in which processes start is settled: TorchRL's import sets another where it is
# not.
multiprocessing.get_start_method()

# What a shell starts in the background ignores Ctrl-C, and so would all tests of it, some for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.in_child", "tests.no_skips", "tests.order"]

# Fixed examples: a red test is red for everybody. No deadline: other work on the machine is not a
# failure.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=25, print_blob=True
)
hypothesis.settings.load_profile("suite")

#: The compiled CPU kernels are ours to provide: where they are missing every test fails, rather
#: than being skipped.
BACKENDS = [
    "cpu",
    *(name for name, missing in testing.backends().items() if not missing and name != "cpu"),
]

#: Every cell with each of its option sets.
VARIANTS = [(cell, options) for cell in CELLS for options in testing.variants(cell)]

#: ... and each of its types.
GRID = [(cell, options, dtype) for cell, options in VARIANTS for dtype in CELLS[cell].dtypes]

#: Below, at and above every register width, with and without tails.
CHANNELS = (1, 3, 4, 5, 8, 16, 17, 37, 64, 130)
#: h0, reset, h_reset, reverse, per_batch
FEATURES = (
    (True, False, None, False, False),
    (False, True, "shared", False, False),
    (True, True, "per_batch", True, True),
    (True, False, None, True, False),
    (False, False, None, False, True),
    (True, True, None, False, False),
    (True, True, "shared", True, False),
)


def name_of(value) -> str | None:
    """Test ids: cells as they are, options as eps0.5, types as bfloat16."""
    if isinstance(value, dict):
        if "surrogate" in value:  # the SRC has many constants, the same in all variants
            return "-".join(
                str(value[name]) for name in ("gradient", "threshold", "surrogate", "memory")
            )
        return "-".join(f"{name}{x:g}" for name, x in value.items() if name != "width") or "plain"
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return None


def over(names: str, values) -> pytest.MarkDecorator:
    """parametrize with readable ids."""
    return pytest.mark.parametrize(names, values, ids=name_of)


def check(call: testing.Call, backend: str, **kwargs) -> None:
    """Asserts that values and all gradients of a call are those of the float64 reference, or
    that the call is refused where it must be."""
    if not testing.serves(backend, call.kernel, call.channels):
        with pytest.raises(NotImplementedError):
            testing.run(call.to(testing.device_of(backend)), backend)
        return
    bad = [
        e
        for e in testing.check_call(call.to(testing.device_of(backend)), backend, **kwargs)
        if not e.ok
    ]
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )


def assert_same(got: dict, expected: dict) -> None:
    """Asserts that two results hold the same bits, up to the sign of zero."""
    different = [name for name, x in expected.items() if not testing.bits_equal(got[name], x)]
    assert not different, f"{', '.join(different)} differ"


@contextmanager
def refusals(found: list[str] | None = None, allowed: bool = True):
    """Lets autograd refuse a backward pass whose saved tensors were changed in place, and
    collects what it says."""
    try:
        yield
    except RuntimeError as error:
        if not allowed or "modified by an inplace operation" not in str(error):
            raise
        if found is not None:
            found.append(str(error))


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("LRNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def poisoned():
    """Every output buffer starts as NaN."""
    with memory.poisoned():
        yield


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    """Each backend that runs here; Triton has no matrix cells."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if request.param == "triton" and "cell" in params and CELLS[params["cell"]].matrices:
        pytest.skip("this machine has a GPU, whose Triton kernels have no matrix cell")
    return request.param


def name_what_it_is_about(item: pytest.Item) -> None:
    """Lets -k find a test by cell and backend where its id has another name for them: a kernel of
    the cell; and the CPU, which runs what names no backend."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if "backend" not in params:
        item.extra_keyword_matches.add("cpu")
    kernels = [KERNELS[x] for x in params.values() if isinstance(x, str) and x in KERNELS]
    item.extra_keyword_matches.update(
        name for name, row in CELLS.items() if set(kernels) & set(row.kernels)
    )


@pytest.fixture
def absent(monkeypatch):
    """A function that makes a package one that is not installed, for a test."""

    def remove(package: str) -> None:
        known = [name for name in sys.modules if name.startswith(f"{package}.")]
        for name in (package, *known):
            monkeypatch.setitem(sys.modules, name, None)

    return remove
