"""Finds, and where needed compiles, the C++ of the fixed-point network: when it is first used,
not when it is imported."""

from __future__ import annotations

import functools
import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType

from ..backends.build import cache, libraries

INSTALLED = Path(__file__).parents[1] / libraries.FIXED_POINT_FILE


@functools.cache
def load() -> tuple[ModuleType, Path, str]:
    """The compiled module, its path and how it came to be; raises RuntimeError where there is
    none and none can be compiled."""
    try:
        path, reason = cache.fixed_point(INSTALLED, sysconfig.get_config_var("SOABI"))
        spec = importlib.util.spec_from_file_location("lrnn_kernels._fixed_point", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cache.check_isa(path, module.isa())
    except (OSError, ImportError, RuntimeError) as error:
        raise RuntimeError(
            'lrnn_kernels.fixed_point has no compiled kernels; backend="reference" needs none. '
            f"{error}"
        ) from error
    return module, path, reason


def compiled() -> ModuleType:
    return load()[0]
