"""What is said to hold all that floating point can give does hold it."""

import numpy as np
import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.tasks.horizon import rules
from lrnn_kernels.tasks.horizon.boxes import Box, Precision, linear, product

IN, H = 5, 12
LAYERS = {
    "BMRU": lambda: nn.BMRU(IN, H, beta_init=(0.2, 1.0)),
    "BMRU, eps 0.5": lambda: nn.BMRU(IN, H, beta_init=(0.2, 1.0), eps=0.5),
    "CMRU": lambda: nn.CMRU(IN, H, beta_init=(0.2, 1.0)),
    "AlphaCMRU": lambda: nn.AlphaCMRU(IN, H, beta_init=(0.2, 1.0)),
    "AlphaCMRU, absolute": lambda: nn.AlphaCMRU(IN, H, absolute=True),
    "FQBMRU": lambda: nn.FQBMRU(IN, H),
    "MinGRU": lambda: nn.MinGRU(IN, H, gate_init=(-3.0, 3.0)),
    "MinGRU, positive": lambda: nn.MinGRU(IN, H, positive=True),
    "LRU": lambda: nn.LRU(IN, H, r_min=0.5, r_max=0.999),
    "LRU, turning fast": lambda: nn.LRU(IN, H, r_min=0.5, r_max=0.9, max_phase=1e4),
}
PRECISION = Precision.of(torch.float32)


def drawn(name: str, width: float, seed: int):
    """A layer, a box of inputs, one of states and a state in it, and what draws inputs."""
    torch.manual_seed(seed)
    layer = LAYERS[name]()
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal(IN).astype(np.float32)
    x = Box(middle - width, middle + width)

    def inputs():
        return torch.tensor(rng.uniform(x.lo, x.hi)).float().clamp(*map(_float, x))

    S = 2 if name.startswith("LRU") else 1
    center = rng.standard_normal((H, S)).astype(np.float32)
    return layer, x, Box(center - width, center + width), inputs, rng


def _float(x):
    return torch.tensor(x, dtype=torch.float32)


def state_of(values: np.ndarray):
    h = torch.tensor(values, dtype=torch.float32)
    h = torch.view_as_complex(h.contiguous()) if h.shape[1] == 2 else h[:, 0]
    return h.expand(1, 1, H).contiguous()


def numbers(h) -> np.ndarray:
    h = h[0, 0]
    return (torch.view_as_real(h) if h.is_complex() else h[:, None]).double().numpy()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("width", [0.0, 1e-6, 0.05, 0.5])
def test_steps_stay_in_their_boxes(name, width):
    bound = 0
    for seed in range(4):
        layer, x, h, inputs, rng = drawn(name, width, seed)
        rule, double = rules.of(layer), rules.in_double(layer)
        pre = rules.drive(double, x, PRECISION)
        after = rule.step(double, pre, h, PRECISION)
        tail = rule.tail(double, pre, h, PRECISION)
        bound += np.isfinite(tail.lo).sum()
        with torch.no_grad():
            for _ in range(10):
                state = state_of(rng.uniform(h.lo, h.hi).astype(np.float32).clip(*h))
                for step in range(60):
                    _, state = layer.step(inputs()[None], state)
                    found = numbers(state)
                    if step == 0:
                        assert (found >= after.lo).all()
                        assert (found <= after.hi).all()
                    assert (found >= tail.lo).all()
                    assert (found <= tail.hi).all()
    adds = name in ("CMRU", "AlphaCMRU", "AlphaCMRU, absolute", "BMRU, eps 0.5")
    assert bound or (adds and width > 0.05)  # or nothing was shown


@pytest.mark.parametrize("name", ["BMRU", "FQBMRU", "MinGRU", "LRU"])
def test_boxes_are_not_much_wider_than_they_must_be(name):
    """Of inputs that are known, a tail shrinks to what the state settles at."""
    layer, x, _, _, _ = drawn(name, 0.0, 0)
    double = rules.in_double(layer)
    with torch.no_grad():
        state = None
        for _ in range(20_000):
            _, state = layer.step(_float(x.lo)[None], state)
    now = numbers(state)
    pre = rules.drive(double, x, PRECISION)
    tail = rules.of(layer).tail(double, pre, Box(now, now), PRECISION)
    assert (tail.hi - tail.lo).max() < 1e-2


def test_sums_in_any_order_stay_in_their_boxes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        weight = rng.standard_normal((7, 300)).astype(np.float32)
        x = (rng.standard_normal(300) * 10.0 ** rng.integers(-3, 3, 300)).astype(np.float32)
        bias = rng.standard_normal(7).astype(np.float32)
        box = linear(Box(x.astype(float), x.astype(float)), weight.astype(float), bias, PRECISION)
        for order in (slice(None), rng.permutation(300)):
            total = bias.copy()
            for k in np.arange(300)[order]:
                total = np.float32(total + np.float32(weight[:, k] * x[k]))
            assert ((box.lo <= total) & (total <= box.hi)).all()


def test_products_of_intervals():
    a = Box(np.array([-1.0, 2.0, -np.inf]), np.array([3.0, 4.0, np.inf]))
    b = Box(np.array([-2.0, -1.0, 0.0]), np.array([5.0, -0.5, 0.0]))
    found = product(a, b)
    assert found.lo.tolist() == [-6.0, -4.0, 0.0]
    assert found.hi.tolist() == [15.0, -1.0, 0.0]
