"""Packages that only a part of this one needs, the extras of setup.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(user: str, *packages: str, extra: str | None = None) -> Iterator[None]:
    """Around imports of ``packages``: says, where one is not installed, what needs it and how to
    install it, by an extra of this package or by itself.

    Raises ImportError then. Where a part of an installed package is missing, or a module that it
    imports itself, its own error is raised.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name not in packages or sys.modules.get(name) is not None:  # a part of it is missing
            raise
        known_as = _DISTRIBUTIONS.get(name, name)
        what = f"'lrnn-kernels[{extra}]'" if extra else known_as
        raise ImportError(f"{user} needs {known_as}: pip install {what}") from error


#: What pip calls a package, where that is not what Python does.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
