"""The rooms of csrc/: which may include which, and that torch is seen from one of them."""

import re

import pytest

from lrnn_kernels.backends.build import sources

CSRC = sources.csrc()
FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh"))

#: Each room and those whose files its own may include; the files at the ground are one room.
MAY_INCLUDE = {
    "ground": set(),
    "math": set(),
    "cells": {"math"},
    "neurons": {"math"},
    "cpu": {"cells", "neurons", "math", "ground"},
    "cuda": {"cells", "neurons", "math", "ground"},
    "torch": {"cells", "neurons", "cpu", "cuda", "ground"},
    "fixed_point": {"cpu", "ground"},  # of the CPU's, the registers
}


def room(path) -> str:
    parts = path.relative_to(CSRC).parts
    return parts[0] if len(parts) > 1 else "ground"


def includes(path) -> list[str]:
    return re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), re.M)


def test_every_room_is_known():
    assert {room(path) for path in FILES} == set(MAY_INCLUDE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CSRC).as_posix())
def test_includes_point_one_way(path):
    for name in includes(path):
        if (included := path.parent / name).is_file():
            allowed = {room(path), *MAY_INCLUDE[room(path)]}
            assert room(included.resolve()) in allowed, f"{name} is of another room"
        elif name.startswith(("torch/", "ATen/", "c10/")):
            assert room(path) == "torch", f"{name} belongs in csrc/torch/"
