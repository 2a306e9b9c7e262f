"""Functions that Triton's language lacks, or has in no form that the interpreter, NVIDIA and AMD
share.

Fused multiply-adds are written out: the step engine compiles without contraction, so that steps run
again give the bits of the first run.
"""

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x)); 0 and 1 at the ends, NaN stays NaN."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh(x):
    """tanh(x), in [-1, 1], NaN stays NaN; the formulas of csrc/math/functions.h.

    float32: x P(x^2) / Q(x^2), fitted to 7.4e-9 on [0, 8.1], and 1 from there; at most 6 ulp off,
    for small x too. float64: Cephes' rational form for |x| < 0.625, else 1 - 2 / (exp(2|x|) + 1);
    at most 3 ulp.
    """
    if x.dtype == tl.float64:
        s = x * x
        one = tl.full(x.shape, 1.0, tl.float64)
        p = fma(fma(-9.64399179425052238628e-1 * one, s, -9.92877231001918586564e1), s, -1.61468768441708447952e3)
        q = fma(fma(s + 1.12811678491632931402e2, s, 2.23548839060100448583e3), s, 4.84406305325125486048e3)
        small = tl.fma(x * s, p / q, x)
        magnitude = tl.abs(x)
        large = 1.0 - 2.0 / (tl.exp(magnitude + magnitude) + 1.0)
        return tl.where(magnitude < 0.625, small, tl.where(x < 0, -large, large))
    else:
        s = x * x
        one = tl.full(x.shape, 1.0, tl.float32)
        p = fma(fma(1.5035073450e-8 * one, s, 2.1766365584e-5), s, 3.5641861138e-3)
        p = fma(fma(p, s, 1.3438352233e-1), s, 9.9999999276e-1)
        q = fma(fma(8.4465841255e-7 * one, s, 3.3989259930e-4), s, 2.6136553386e-2)
        q = fma(fma(q, s, 4.6771678825e-1), s, 1.0)
        t = x * p / q
        return tl.where((x < -8.1) | (t < -1.0), -1.0, tl.where((x > 8.1) | (t > 1.0), 1.0, t))


@triton.jit
def fma(x, y, z):
    """x y + z, for a number z."""
    return tl.fma(x, y, tl.full(x.shape, z, x.dtype))


@triton.jit
def dropped(h, eps):
    """What an update drops of the state, (1 - eps) h: nothing where eps is 1, even of infinity."""
    return tl.where(eps == 1.0, 0.0, h * (1.0 - eps))


@triton.jit
def surrogate(u, width):
    """kappa(u) = w / (1 + (pi w u)^2), which stands for the derivative of a step."""
    v = u * (3.14159265358979323846 * width)
    return width / (v * v + 1.0)
