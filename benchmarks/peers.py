"""The strongest peer: the loop that an expert writes by hand in numba, with its backward pass.

Rows in address order with time outermost, contiguous channels innermost (which LLVM vectorizes), batch elements in parallel, fast-math. Its
outputs are allocated once, on huge pages, while ours are allocated in every call: the comparison is of loops, and any doubt goes to
the peer. Linear and BMRU; the BMRU saves y, as one would who does not know that a bit is enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from .roof import huge_empty
from .traffic import Calls

try:
    import numba
except ImportError:  # an optional peer
    numba = None

NAME = "numba is not installed" if numba is None else f"numba {numba.__version__}"


def _compile() -> dict[str, Callable]:
    jit = numba.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")

    @jit
    def linear_forward(a, b, y):
        B, T, C = a.shape
        for i in numba.prange(B):
            h = np.zeros(C, np.float32)
            for t in range(T):
                for c in range(C):
                    h[c] = a[i, t, c] * h[c] + b[i, t, c]
                    y[i, t, c] = h[c]

    @jit
    def linear_backward(a, y, dy, da, db):
        B, T, C = a.shape
        for i in numba.prange(B):
            carry = np.zeros(C, np.float32)  # a[t+1] g[t+1]
            for t in range(T - 1, 0, -1):
                for c in range(C):
                    g = dy[i, t, c] + carry[c]
                    da[i, t, c] = y[i, t - 1, c] * g
                    db[i, t, c] = g
                    carry[c] = a[i, t, c] * g
            for c in range(C):
                da[i, 0, c] = 0.0
                db[i, 0, c] = dy[i, 0, c] + carry[c]

    @jit
    def bmru_forward(c, beta, alpha, y):
        B, T, C = c.shape
        for i in numba.prange(B):
            h = np.zeros(C, np.float32)
            for t in range(T):
                for k in range(C):
                    written = alpha[k] if c[i, t, k] >= np.float32(0) else -alpha[k]
                    h[k] = written if abs(c[i, t, k]) >= abs(beta[i, t, k]) else h[k]
                    y[i, t, k] = h[k]

    @jit
    def bmru_backward(c, beta, alpha, y, dy, dc, dbeta, dalpha):
        B, T, C = c.shape
        one, zero, pi2 = np.float32(1), np.float32(0), np.float32(np.pi * np.pi)
        for i in numba.prange(B):
            carry = np.zeros(C, np.float32)
            total = np.zeros(C, np.float32)
            start = np.zeros(C, np.float32)
            for t in range(T - 1, -1, -1):
                before = y[i, t - 1] if t > 0 else start
                for k in range(C):
                    x, b = c[i, t, k], beta[i, t, k]
                    g = dy[i, t, k] + carry[k]
                    u = abs(x) - abs(b)
                    sign = one if x >= zero else -one
                    kappa = one / (one + pi2 * u * u)
                    through_gate = g * (alpha[k] * sign - before[k]) * kappa
                    updates = u >= zero
                    written = g if updates else zero
                    dc[i, t, k] = through_gate * sign + written * alpha[k] * np.float32(2) / (one + pi2 * x * x)
                    dbeta[i, t, k] = -through_gate if b >= zero else through_gate
                    total[k] += written * sign
                    carry[k] = zero if updates else g
            dalpha[i] = total

    return {
        "linear_forward": linear_forward,
        "linear_backward": linear_backward,
        "bmru_forward": bmru_forward,
        "bmru_backward": bmru_backward,
    }


_compiled: dict[str, Callable] = {}


def _loops() -> dict[str, Callable]:
    if not _compiled:
        _compiled.update(_compile())
    return _compiled


def _outputs(like: Tensor, count: int) -> list[np.ndarray]:
    return [huge_empty(like.numel() * like.element_size()).view(like.dtype).view(like.shape).numpy() for _ in range(count)]


def _linear(calls: Calls) -> dict[str, Callable[[], object]]:
    loops, a, b, dy = _loops(), *(x.numpy() for x in (*calls.streams, calls.dy))
    y, da, db = _outputs(calls.dy, 3)
    loops["linear_forward"](a, b, y)
    return {
        "forward": lambda: loops["linear_forward"](a, b, y),
        "backward": lambda: loops["linear_backward"](a, y, dy, da, db),
    }


def _bmru(calls: Calls) -> dict[str, Callable[[], object]]:
    loops, c, beta, alpha, dy = _loops(), *(x.numpy() for x in (*calls.streams, *calls.params, calls.dy))
    y, dc, dbeta = _outputs(calls.dy, 3)
    dalpha = np.zeros((c.shape[0], c.shape[2]), np.float32)
    loops["bmru_forward"](c, beta, alpha, y)

    def backward() -> np.ndarray:
        loops["bmru_backward"](c, beta, alpha, y, dy, dc, dbeta, dalpha)
        return dalpha.sum(0)

    return {"forward": lambda: loops["bmru_forward"](c, beta, alpha, y), "backward": backward}


#: Operator -> its peer's passes, on the same inputs; empty without numba.
PEERS: dict[str, Callable[[Calls], dict[str, Callable[[], object]]]] = {} if numba is None else {"linear_scan": _linear, "bmru": _bmru}
