"""The strongest peer: the loop that an expert writes by hand in numba, with its backward pass.

Rows in address order with time outermost, contiguous channels innermost (which LLVM vectorizes),
batch elements in parallel, fast-math. Beside an operator its outputs are allocated once, on huge
pages, while ours are allocated in every call: the comparison is of loops, and any doubt goes to the
peer. Linear, BMRU and the full SRC; in models (``model_peers``) also the LRU. The BMRU saves y, as
one would who does not know that a bit is enough; the SRC saves what ours does, and its tanh is the
rational form, which vectorizes, where numba's own is a call per element.

Backward passes walk down the channels as they do the steps, so that addresses only fall: where rows
are read upward one below the other, no prefetcher follows, and a pass takes up to four times as
long. The index is unsigned, since numba lets a signed one wrap, which keeps loops from vectorizing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..measure.copy_bandwidth import huge_empty
from ..measure.traffic import Calls

try:
    import numba
except ImportError:  # an optional peer
    numba = None

#: By their name: forward gives y, backward the gradients of streams and parameters.
Passes = dict[str, Callable[[], object]]

CASE = "numba"
NAME = "numba is not installed" if numba is None else f"numba {numba.__version__}"


def _compile() -> dict[str, Callable]:
    jit = numba.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")

    @jit
    def linear_forward(a, b, h0, y):
        B, T, C = a.shape
        for i in numba.prange(B):
            h = h0[i].copy()
            for t in range(T):
                for c in range(C):
                    h[c] = a[i, t, c] * h[c] + b[i, t, c]
                    y[i, t, c] = h[c]

    @jit
    def linear_backward(a, y, h0, dy, da, db, dh0):
        B, T, C = a.shape
        for i in numba.prange(B):
            carry = np.zeros(C, np.float32)  # a[t+1] g[t+1]
            for t in range(T - 1, 0, -1):
                for k in range(C):
                    c = np.uint64(C - 1 - k)
                    g = dy[i, t, c] + carry[c]
                    da[i, t, c] = y[i, t - 1, c] * g
                    db[i, t, c] = g
                    carry[c] = a[i, t, c] * g
            for c in range(C):
                g = dy[i, 0, c] + carry[c]
                da[i, 0, c] = h0[i, c] * g
                db[i, 0, c] = g
                dh0[i, c] = a[i, 0, c] * g

    @jit
    def lru_forward(u, lam, y):  # split storage: real parts, then imaginary ones
        B, T, C = u.shape
        H = C // 2
        for i in numba.prange(B):
            h = np.zeros(C, np.float32)
            for t in range(T):
                for c in range(H):
                    re, im = h[c], h[H + c]
                    h[c] = lam[c] * re - lam[H + c] * im + u[i, t, c]
                    h[H + c] = lam[c] * im + lam[H + c] * re + u[i, t, H + c]
                    y[i, t, c], y[i, t, H + c] = h[c], h[H + c]

    @jit
    def lru_backward(lam, y, dy, du, dlam):
        B, T, C = y.shape
        H = C // 2
        for i in numba.prange(B):
            g, total = np.zeros(C, np.float32), np.zeros(C, np.float32)
            for t in range(T - 1, -1, -1):
                for k in range(H):
                    c, d = np.uint64(H - 1 - k), np.uint64(C - 1 - k)
                    re = dy[i, t, c] + lam[c] * g[c] + lam[d] * g[d]
                    im = dy[i, t, d] + lam[c] * g[d] - lam[d] * g[c]
                    g[c], g[d] = re, im
                    du[i, t, c], du[i, t, d] = re, im
                if t > 0:
                    for k in range(H):
                        c, d = np.uint64(H - 1 - k), np.uint64(C - 1 - k)
                        total[c] += g[c] * y[i, t - 1, c] + g[d] * y[i, t - 1, d]
                        total[d] += g[d] * y[i, t - 1, c] - g[c] * y[i, t - 1, d]
            dlam[i] = total

    @jit
    def bmru_forward(c, beta, alpha, h0, y):
        B, T, C = c.shape
        for i in numba.prange(B):
            h = h0[i].copy()
            for t in range(T):
                for k in range(C):
                    written = alpha[k] if c[i, t, k] >= np.float32(0) else -alpha[k]
                    h[k] = written if abs(c[i, t, k]) >= abs(beta[i, t, k]) else h[k]
                    y[i, t, k] = h[k]

    @jit
    def bmru_backward(c, beta, alpha, y, h0, dy, dc, dbeta, dalpha, dh0):
        B, T, C = c.shape
        one, zero, pi2 = np.float32(1), np.float32(0), np.float32(np.pi * np.pi)
        for i in numba.prange(B):
            carry = np.zeros(C, np.float32)
            total = np.zeros(C, np.float32)
            for t in range(T - 1, -1, -1):
                before = y[i, t - 1] if t > 0 else h0[i]
                for n in range(C):
                    k = np.uint64(C - 1 - n)
                    x, b = c[i, t, k], beta[i, t, k]
                    g = dy[i, t, k] + carry[k]
                    u = abs(x) - abs(b)
                    sign = one if x >= zero else -one
                    kappa = one / (one + pi2 * u * u)
                    through_gate = g * (alpha[k] * sign - before[k]) * kappa
                    updates = u >= zero
                    written = g if updates else zero
                    # The derivative of |x| is 0 at 0.
                    along = zero if x == zero else through_gate * sign
                    dc[i, t, k] = along + written * alpha[k] * np.float32(2) / (one + pi2 * x * x)
                    against = -through_gate if b >= zero else through_gate
                    dbeta[i, t, k] = zero if b == zero else against
                    total[k] += written * sign
                    carry[k] = zero if updates else g
            dalpha[i] = total
            dh0[i] = carry

    rho, decay, r, r_s, hyper, slope, half = (np.float32(x) for x in (3, 0.9, 2, -7, 0.9, 10, 0.5))
    one32 = np.float32(1)
    P = tuple(
        np.float32(x)
        for x in (
            9.9999999276e-1,
            1.3438352233e-1,
            3.5641861138e-3,
            2.1766365584e-5,
            1.5035073450e-8,
        )
    )
    Q = tuple(
        np.float32(x)
        for x in (1, 4.6771678825e-1, 2.6136553386e-2, 3.3989259930e-4, 8.4465841255e-7)
    )
    limit = np.float32(8.1)

    @numba.njit(fastmath=True, inline="always")
    def tanh(x):
        x = min(max(x, -limit), limit)
        s = x * x
        p = (((P[4] * s + P[3]) * s + P[2]) * s + P[1]) * s + P[0]
        q = (((Q[4] * s + Q[3]) * s + Q[2]) * s + Q[1]) * s + Q[0]
        return x * p / q

    @jit
    def src_forward(u, bias, y, x, h, slow):
        B, T, C = u.shape
        for b in numba.prange(B):
            i, h1, h2 = np.zeros(C, np.float32), np.zeros(C, np.float32), np.zeros(C, np.float32)
            for t in range(T):
                for c in range(C):
                    i[c] = decay * i[c] + u[b, t, c]
                    bend = tanh(i[c] / rho)
                    z_s = hyper * (half - half * tanh(half * slope * (h1[c] - half)))
                    before = h1[c]
                    h1[c] = tanh(rho * bend + r * before + r_s * h2[c] + bias[c])
                    h2[c] = z_s * h2[c] + (one32 - z_s) * before
                    y[b, t, c], x[b, t, c], h[b, t, c], slow[b, t, c] = (
                        max(h1[c], np.float32(0)),
                        bend,
                        h1[c],
                        h2[c],
                    )

    @jit
    def src_backward(x, h, slow, dy, du, dbias):
        B, T, C = x.shape
        for b in numba.prange(B):
            di, dh, ds, total = (
                np.zeros(C, np.float32),
                np.zeros(C, np.float32),
                np.zeros(C, np.float32),
                np.zeros(C, np.float32),
            )
            start = np.zeros(C, np.float32)
            for t in range(T - 1, -1, -1):
                h_before, slow_before = (h[b, t - 1], slow[b, t - 1]) if t > 0 else (start, start)
                for k in range(C):
                    c = np.uint64(C - 1 - k)
                    g = dh[c] + (dy[b, t, c] if h[b, t, c] > 0 else np.float32(0))
                    dpre = g * (one32 - h[b, t, c] * h[b, t, c])
                    sigma = half + half * tanh(half * slope * (h_before[c] - half))
                    z_s = hyper * (one32 - sigma)
                    gate = (
                        ds[c]
                        * (slow_before[c] - h_before[c])
                        * (-hyper * slope)
                        * sigma
                        * (one32 - sigma)
                    )
                    dh[c] = dpre * r + ds[c] * (one32 - z_s) + gate
                    ds[c] = ds[c] * z_s + dpre * r_s
                    carried = di[c] + dpre * (one32 - x[b, t, c] * x[b, t, c])
                    du[b, t, c] = carried
                    di[c] = decay * carried
                    total[c] += dpre
            dbias[b] = total

    return {
        "src_forward": src_forward,
        "src_backward": src_backward,
        "linear_forward": linear_forward,
        "linear_backward": linear_backward,
        "lru_forward": lru_forward,
        "lru_backward": lru_backward,
        "bmru_forward": bmru_forward,
        "bmru_backward": bmru_backward,
    }


_compiled: dict[str, Callable] = {}


def loops() -> dict[str, Callable]:
    """Every loop by its name, compiled."""
    if not _compiled:
        _compiled.update(_compile())
    return _compiled


def _outputs(like: Tensor, count: int) -> list[np.ndarray]:
    return [
        huge_empty(like.numel() * like.element_size()).view(like.dtype).view(like.shape).numpy()
        for _ in range(count)
    ]


def _states(stream: np.ndarray) -> np.ndarray:
    """One zero a sequence and channel, (B,C)."""
    return np.zeros((stream.shape[0], stream.shape[2]), np.float32)


def _linear(calls: Calls) -> Passes:
    by, a, b, dy = loops(), *(x.numpy() for x in (*calls.streams, calls.dy))
    y, da, db = _outputs(calls.dy, 3)
    h0, dh0 = _states(a), _states(a)

    def forward() -> np.ndarray:
        by["linear_forward"](a, b, h0, y)
        return y

    def backward() -> tuple[np.ndarray, ...]:
        by["linear_backward"](a, y, h0, dy, da, db, dh0)
        return da, db

    return _with_forward_run(forward, backward)


def _bmru(calls: Calls) -> Passes:
    by, c, beta, alpha, dy = (
        loops(),
        *(x.numpy() for x in (*calls.streams, *calls.params, calls.dy)),
    )
    y, dc, dbeta = _outputs(calls.dy, 3)
    dalpha, h0, dh0 = _states(c), _states(c), _states(c)

    def forward() -> np.ndarray:
        by["bmru_forward"](c, beta, alpha, h0, y)
        return y

    def backward() -> tuple[np.ndarray, ...]:
        by["bmru_backward"](c, beta, alpha, y, h0, dy, dc, dbeta, dalpha, dh0)
        return dc, dbeta, dalpha.sum(0)

    return _with_forward_run(forward, backward)


def _src(calls: Calls) -> Passes:
    by, u, bias, dy = loops(), *(x.numpy() for x in (*calls.streams, *calls.params, calls.dy))
    y, x, h, slow, du = _outputs(calls.dy, 5)
    dbias = _states(u)

    def forward() -> np.ndarray:
        by["src_forward"](u, bias, y, x, h, slow)
        return y

    def backward() -> tuple[np.ndarray, ...]:
        by["src_backward"](x, h, slow, dy, du, dbias)
        return du, dbias.sum(0)

    return _with_forward_run(forward, backward)


def _with_forward_run(forward: Callable, backward: Callable) -> Passes:
    """Both passes, of which the backward one has what it reads."""
    forward()
    return {"forward": forward, "backward": backward}


#: Operator -> its peer's passes, on the same inputs; empty without numba.
PEERS: dict[str, Callable[[Calls], Passes]] = (
    {} if numba is None else {"linear_scan": _linear, "bmru": _bmru, "src full": _src}
)
