"""What is said where a package of an extra is not installed."""

import importlib
import sys

import pytest

from lrnn_kernels.extras import needs


@pytest.mark.parametrize(
    ("name", "extra", "said"),
    [
        ("h5py", None, "a file needs h5py: pip install h5py"),
        ("h5py", "events", "a file needs h5py: pip install 'lrnn-kernels[events]'"),
        ("sklearn", None, "a file needs scikit-learn: pip install scikit-learn"),
        ("sklearn.base", "x", "a file needs scikit-learn: pip install 'lrnn-kernels[x]'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(name, extra, said, absent):
    absent(name.split(".")[0])
    packages = ("other", "h5py", "sklearn")
    with pytest.raises(ImportError) as raised, needs("a file", *packages, extra=extra):
        importlib.import_module(name)
    assert str(raised.value) == said


def test_what_a_package_itself_lacks_is_its_own_error(monkeypatch):
    """A broken installation is not told to install what is there."""
    monkeypatch.setitem(sys.modules, "colorsys", None)
    with pytest.raises(ModuleNotFoundError) as raised, needs("a file", "h5py"):
        import colorsys  # noqa: F401
    assert raised.value.name == "colorsys"


def test_a_part_that_a_package_lacks_is_its_own_error():
    with pytest.raises(ModuleNotFoundError) as raised, needs("a file", "json"):
        importlib.import_module("json.parts")
    assert raised.value.name == "json.parts"


def test_other_errors_pass():
    with pytest.raises(ImportError, match="its library is too old"), needs("a file", "h5py"):
        raise ImportError("its library is too old")
    with needs("a file", "h5py"):
        pass
