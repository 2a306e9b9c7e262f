"""Helpers for tests of these operators, here and in packages that build on them: a random call, its
gradients, its allowed error.

call = testing.random_call("bmru", dtype=torch.bfloat16, reset=True)
assert all(error.ok for error in testing.check_call(call, "cpu"))

Tolerances. An error is the largest difference to the float64 reference, relative to the largest
magnitude of that tensor. It is allowed a small multiple of u, the unit roundoff of the state type.
Random calls keep |a| <= 7/8, so that the rounding of one step is amplified by at most 1/(1-|a|) =
8:

    values      32 u: 4 roundings a step (those of the gate, a product, a sum), times 8
    gradients  128 u: a product of two such sequences, states and adjoints; and float32 sums of 64
               steps for parameters
    eps = 1    T/8 u more: with a = 1 nothing damps, and T steps that add the same alpha round T
               times, mostly the same way
    16 bit     1 u of the 16-bit type more for y, which is rounded once when stored, and 4 u for
               gradients of streams and parameters, which read the rounded y, may subtract it from a
               value of its size, and are rounded themselves; states and their gradients are carried
               in float32 and get nothing more, unless a nonlinear cell reads its states from the
               rounded y: its adjoints then pass through factors that depend on them

The SRC with the paper's constants is no case for a tolerance: it amplifies rounding by any factor
in single lanes, so random calls have gentler ones (variants of its row), and the paper's are
compared with torch's own float32 by quantiles over many lanes (tests/promises/test_src.py).

A parameter's gradient sums B T terms of either sign: its error is relative to the root of their
number at least, because the sum may cancel while its rounding does not.
"""

from __future__ import annotations

from ..backends.choose import available as backends
from ..backends.choose import device_of
from .calls import Call, accepted, public, random_call, run, serves, threads, variants
from .errors import (
    HALVES,
    WIDER,
    Error,
    bits_equal,
    check_call,
    compare,
    relative_error,
    tolerance,
    unit_roundoff,
    worst,
)

__all__ = [
    "HALVES",
    "WIDER",
    "Call",
    "Error",
    "accepted",
    "backends",
    "bits_equal",
    "check_call",
    "compare",
    "device_of",
    "public",
    "random_call",
    "relative_error",
    "run",
    "serves",
    "threads",
    "tolerance",
    "unit_roundoff",
    "variants",
    "worst",
]
