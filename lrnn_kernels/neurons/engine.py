"""What a compiled population engine has to provide: one call that advances a population, in place.

The engine knows one scheme, the default one of ``oracle.py``, and nothing of checks, statuses or
ragged spikes: ``simulate`` makes plain tensors of a call and reads them again afterwards.

**State**, (B, S) float64 whatever the dtype of the call (float32 values are stored exactly), S =
n + 13 for a model of n states. Columns:

    0 .. n-1      the model's states in its order: V, gates, then Ca or (o, i)
    n             E of the step before; NaN before the first step, which takes E_prev = E
    n+1           1 while V is above threshold (opened, not yet closed), else 0
    n+2           time in ms of the upward crossing that opened it; -inf where it was not seen
    n+3 .. n+10   noise: s1 and s2 of section 0, of section 1, 2, 3 (float32 values)
    n+11, n+12    noise: filtered samples y[k] and y[k+1] (float32 values)

**Models** by name: channels in the order of g, states in the order of the columns, and equations
are those of ``models/``. A gate relaxes by dt/(tau + dt/2) in the default scheme, where it
``relaxes_exactly`` by 1 - exp(-dt/tau); an engine may take the latter for all.

**Step** number i, counted from 0 at t = 0, goes from t = i dt to (i+1) dt:

1. record, where asked and i % record_every == 0: the chosen states as they are before the step.
2. I = current + sigma noise, at (i + 1/2) dt, in the call's dtype.
3. the scheme: states to t = (i+1) dt.
4. spikes, with vo = V before and vn = V after the step: not above and vn >= up opens, with
   crossing = (i + (up - vo) / (vn - vo)) dt in float64 from vo, vn; above and vn < down closes:
   if crossing >= discard: times[b, counts[b]] = crossing where counts[b] < max_spikes, and
   counts[b] += 1 in any case.

A lane that becomes NaN or infinite goes on (it stays so), and touches no other. Results of a neuron
do not depend on the others, on the batch's size, on threads, nor on how steps are cut into calls.

**Current** (n, K), K = 1 (shared) or B, in the call's dtype. n = 1: constant. Else p = (i + 0.5)
current_rate in float64 (current_rate = dt / current_dt), k = floor(p), w = p - k rounded to the
dtype, I = c[k] + w (c[k+1] - c[k]); ``simulate`` has made sure that k + 1 < n.

**Noise**, all in float32, every operation rounded (no FMA, no contraction), so that its numbers are
the same everywhere; see ``noise.py``, which is the oracle. With R = sampling / dt an integer, at a
step with i % R == 0: y[k] = y[k+1], y[k+1] = filter(white(neuron, i/R + 1 + warm_up)); then the
noise at the step is y[k] + w (y[k+1] - y[k]), w = float32((i % R + 0.5) / R), cast to the dtype and
multiplied by sigma there.

    white(neuron, m): Philox4x32-10, key (seed low, seed high 32 bits), counter (block low, block
    high, neuron low, neuron high) with block = m >> 2; words w0..w3. Numbers of the block:
    r(w0) cos(w1), r(w0) sin(w1), r(w2) cos(w3), r(w2) sin(w3); the one wanted is m & 3.

    r(w) = sqrt(-2 L), L = ln u, u = float((w >> 8) + 1) 2^-24 in (0, 1]:
        b = bits(u) - 0x3f3504f3 (int32); e = b >> 23 (arithmetic)
        x = float_of((b & 0x7fffff) + 0x3f3504f3), in [sqrt(1/2), sqrt(2))
        f = x - 1; s = f / (x + 1); z = s s
        q = 1/3 + z (1/5 + z (1/7 + z (1/9)))     coefficients rounded to float32
        d = s + s;  t = d + d (z q)
        L = float(e) LN2 + t,   LN2 = float32(0.6931471805599453)
        r = sqrt(-2 L)

    angle of w: j = w >> 8; a = (j + 2^21) >> 22; phi = float(j - (a << 22)) float32(2 pi / 2^24);
        p = phi phi
        sin = phi + phi (p (S1 + p (S2 + p (S3 + p S4)))),  S = -1/6, 1/120, -1/5040, 1/362880
        cos = 1 + p (C1 + p (C2 + p (C3 + p C4))),          C = -1/2, 1/24, -1/720, 1/40320
        by a & 3:  0 (cos, sin)   1 (-sin, cos)   2 (-cos, -sin)   3 (sin, -cos)   as (cos, sin)

    filter(x): sections 0, 1, 2, 3 one after the other, with coefficients (K, a1, a2) of rows
    0, 1, 0, 1 of ``sections`` (float32), each:
        u = K x;  y = u + s1;  s1' = ((u + u) - a1 y) + s2;  s2' = u - a2 y;  the next one's x is y
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

#: Numbers of a neuron's state beside the model's states; see above.
EXTRA = 13


class NoiseSettings(NamedTuple):
    """Noise as the engine takes it."""

    sigma: Tensor  # (K,), K = 1 or B, in the call's dtype: uA/cm^2 of the white noise
    neurons: Tensor  # (B,) int64, >= 0: who each row is, for its numbers
    seed: int  # in [0, 2^64)
    every: int  # R: steps of dt per sample of noise
    warm_up: int  # samples before t = 0
    sections: Tensor  # (2, 3) float32 on the CPU: K, a1, a2
