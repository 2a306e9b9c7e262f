"""Errors of a call name the argument, what was got and what was expected."""

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.models import Backbone, BackboneConfig, Layer
from tests.systems.models.cases import make, sequence


def _states(network, **changed):
    parts = dict(zip(("position", "windows", "cells", "total"), network(_x(network))[1]))  # noqa: B905
    return tuple({**parts, **changed}.values())


def _x(network):
    return sequence(network, 2, 4)


def _set(**changed):
    return lambda network: network(_x(network), _states(network, **changed))


CALLS = {
    "no tensor": (lambda n: n([1.0]), TypeError, "x must be a tensor, got list"),
    "no batch": (lambda n: n(_x(n)[0]), ValueError, r"x must have shape \(B, T, 3\), got \(4, 3\)"),
    "channels": (lambda n: n(_x(n)[..., :2]), ValueError, "x must have input_size = 3 channels"),
    "integers": (lambda n: n(_x(n).long()), TypeError, "x must be of a floating point type"),
    "no steps": (lambda n: n(_x(n)[:, :0]), ValueError, "x must have at least one step"),
    "reset": (
        lambda n: n(_x(n), None, torch.zeros(4, 2, dtype=torch.bool)),
        ValueError,
        r"reset must have shape \(2, 4\), got \(4, 2\)",
    ),
    "reset's type": (
        lambda n: n(_x(n), None, torch.zeros(2, 4)),
        TypeError,
        "reset must be a bool tensor",
    ),
    "lengths": (
        lambda n: n(_x(n), lengths=torch.tensor([1, 5])),
        ValueError,
        "lengths must be from 1 to 4, got 5",
    ),
    "zero": (
        lambda n: n(_x(n), lengths=torch.tensor([0, 3])),
        ValueError,
        "lengths must be from 1 to 4, got 0",
    ),
    "lengths' shape": (
        lambda n: n(_x(n), lengths=torch.tensor([3])),
        ValueError,
        r"lengths must have shape \(2,\), got \(1,\)",
    ),
    "lengths' type": (
        lambda n: n(_x(n), lengths=torch.ones(2)),
        TypeError,
        "lengths must be of an integer type, got torch.float32",
    ),
    "lengths that are a mask": (
        lambda n: n(_x(n), lengths=torch.ones(2, dtype=torch.bool)),
        TypeError,
        "lengths must be of an integer type, got torch.bool",
    ),
    "lengths in a list": (
        lambda n: n(_x(n), lengths=[1.0, 2]),
        TypeError,
        "lengths must be an int, got float",
    ),
    "lengths in a long list": (
        lambda n: n(_x(n), lengths=[1, 2, 3]),
        ValueError,
        r"lengths must have shape \(2,\), got \(3,\)",
    ),
    "a length in a list": (
        lambda n: n(_x(n), lengths=(5, 1)),
        ValueError,
        "lengths must be from 1 to 4, got 5",
    ),
    "a tensor of states": (
        lambda n: n(_x(n), torch.ones(2)),
        TypeError,
        "states must be a tuple .*, got Tensor",
    ),
    "few states": (lambda n: n(_x(n), (1, 2)), ValueError, "states must be .*, got 2 parts"),
    "position": (
        _set(position=torch.zeros(3, dtype=torch.int64)),
        ValueError,
        r"states' position must have shape \(2,\), got \(3,\)",
    ),
    "position's type": (
        _set(position=torch.zeros(2)),
        TypeError,
        "states' position must be int64, got torch.float32",
    ),
    "windows": (_set(windows=()), ValueError, "states' windows must be as many as 2, got 0"),
    "window": (
        _set(windows=(torch.zeros(2, 2, 4), torch.zeros(2, 1, 4))),
        ValueError,
        r"states' window 1 must have shape \(2, 2, 4\), got \(2, 1, 4\)",
    ),
    "cells": (_set(cells=None), TypeError, "states' cells must be a tuple, got NoneType"),
    "total": (_set(total=None), TypeError, "states' total must be a tensor, got NoneType"),
    "a cell's": (
        _set(cells=(torch.zeros(1, 3, 5), None)),
        ValueError,
        r"h_0 must have shape \(1, 2, 5\), got \(1, 3, 5\)",
    ),
    "a step": (
        lambda n: n.step(_x(n)),
        ValueError,
        r"x must have shape \(B, 3\), got \(2, 4, 3\)",
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_errors_of_a_call(what):
    call, error, message = CALLS[what]
    with pytest.raises(error, match=message):
        call(make("MinGRU", head="mean"))


def test_errors_of_networks():
    tokens = make("MinGRU", head="tokens")
    with pytest.raises(ValueError, match=r"x must have shape \(B, T\), got \(2, 3, 1\)"):
        tokens(torch.ones(2, 3, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x must have shape \(B,\), got \(2, 3\)"):
        tokens.step(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"x must hold token ids, int64, got torch.float32"):
        tokens(torch.ones(2, 3))
    assert tokens(torch.ones(2, 0, dtype=torch.int64))[0].shape == (2, 0, 2)
    both = Backbone(BackboneConfig(3, 2, Layer("LRU", 3, bidirectional=True), width=4))
    with pytest.raises(RuntimeError, match="step is for one direction"):
        both.step(torch.ones(2, 3))
    _, states = both(torch.ones(2, 4, 3))
    with pytest.raises(ValueError, match="states must be None where a cell is bidirectional"):
        both(torch.ones(2, 4, 3), states)
    with pytest.raises(TypeError, match="config must be a BackboneConfig, got dict"):
        Backbone({"width": 3})
    made = {
        "must have batch_first=True": lambda size: nn.LRU(size, 4),
        "must have input_size = 20, .* got 3": lambda size: nn.LRU(3, 4, batch_first=True),
        "must be a recurrent layer": lambda size: torch.nn.Linear(size, 4),
    }
    for message, factory in made.items():
        with pytest.raises((TypeError, ValueError), match=f"what cell makes {message}"):
            Backbone(BackboneConfig(3, 2, factory, width=4))
