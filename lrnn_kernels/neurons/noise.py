"""The protocol's noise current: white Gaussian numbers on a grid of their own, twice through a
causal fourth-order Butterworth low-pass, interpolated linearly; the same numbers on every backend.

A number depends on the seed, the neuron and the sample alone (Philox4x32-10), and all is computed
in float32 with every operation rounded, so that a compiled engine can do the same. It is equal in
law to the zero-phase filter of the published data sets. ``engine.py`` states the arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ..options import integer, number
from .engine import NoiseSettings
from .given import Numbers, one_row, real

WARM_UP = 10.0  # ms
TRANSIENTS = 8  # state numbers of the two filters, of four poles each
COLUMNS = TRANSIENTS + 2  # of a state: the transients, and the samples on both sides of a step
_LOW = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Noise:
    """A noise current.

    Args:
        sigma: standard deviation of the white noise, uA/cm^2; a number, or one per neuron (B,).
            After the filters that of the current is 0.424 sigma at 0.1 ms, 0.299 sigma at 0.05 ms.
        sampling: ms between the white numbers, a multiple of dt; the model's protocol if None.
        cutoff: Hz.
        first: the number of the first neuron: rows b of g draw as neuron first + b, so that a
            population in pieces has the noise of the whole.
    """

    sigma: float | Numbers
    sampling: float | None = None
    cutoff: float = 1000.0
    first: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sigma, Real) and not isinstance(self.sigma, bool):
            number("noise.sigma", self.sigma, 0, math.inf)
        else:
            sigma = real("noise.sigma", self.sigma)
            if not ((sigma >= 0) & (sigma < math.inf)).all():
                raise ValueError(
                    "noise.sigma must be in [0, inf) for every neuron, got other numbers"
                )
            object.__setattr__(self, "sigma", sigma)
        if self.sampling is not None:
            number("noise.sampling", self.sampling, 0, math.inf, open_low=True)
        number("noise.cutoff", self.cutoff, 0, math.inf, open_low=True)
        object.__setattr__(self, "first", integer("noise.first", self.first, 0))


def sections(cutoff: float, sampling: float) -> Tensor:
    """The low-pass as two sections (2, 3) of float32: K, a1, a2 of
    K (1 + 2/z + 1/z^2) / (1 + a1/z + a2/z^2), by the bilinear transform at cutoff Hz, sampling ms.
    """
    if not cutoff * sampling < 500:
        raise ValueError(
            f"noise.cutoff must be below {500 / sampling:g} Hz, half the rate of samples every "
            f"{sampling:g} ms, got {cutoff:g}"
        )
    c, rows = math.tan(math.pi * cutoff * sampling / 1000), []
    for angle in (math.pi / 8, 3 * math.pi / 8):
        damping = 2 * math.cos(angle) * c
        scale = 1 + damping + c * c
        rows.append((c * c / scale, 2 * (c * c - 1) / scale, (1 - damping + c * c) / scale))
    return torch.tensor(rows, dtype=torch.float64).float()


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, ...]:
    """Philox4x32-10: four words, in int64, of counters of four words under the key (seed low, seed
    high)."""
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _LOW, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # wraps modulo 2^64, which keeps every bit
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _LOW) ^ c1 ^ k0,
            p1 & _LOW,
            ((p0 >> 32) & _LOW) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    return c0, c1, c2, c3


def radius(word: Tensor) -> Tensor:
    """sqrt(-2 ln u) of u = (word's upper 24 bits + 1) 2^-24, float32."""
    u = ((word >> 8) + 1).float() * 2.0**-24
    bits = u.view(torch.int32) - 0x3F3504F3
    x = ((bits & 0x7FFFFF) + 0x3F3504F3).view(torch.float32)  # in [sqrt(1/2), sqrt(2))
    s = (x - 1) / (x + 1)
    z = s * s
    q = _horner(z, 1 / 3, 1 / 5, 1 / 7, 1 / 9)
    d = s + s
    log = (bits >> 23).float() * _rounded(math.log(2)) + (d + d * (z * q))
    # torch.sqrt of float32 may be off by a rounding; by way of float64 it never is.
    return (log * -2.0).double().sqrt().float()


def circle(word: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32, of 2 pi (word's upper 24 bits) 2^-24."""
    j = word >> 8
    quarter = (j + 2**21) >> 22
    phi = (j - (quarter << 22)).float() * _rounded(2 * math.pi / 2**24)
    p = phi * phi
    sine = phi + phi * (p * _horner(p, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
    cosine = 1 + p * _horner(p, -1 / 2, 1 / 24, -1 / 720, 1 / 40320)
    odd, negative = (quarter & 1).bool(), (quarter & 2).bool()
    x = torch.where(odd, -sine, cosine)
    y = torch.where(odd, cosine, sine)
    return torch.where(negative, -x, x), torch.where(negative, -y, y)


def white(neurons: Tensor, first: int, count: int, seed: int) -> Tensor:
    """Standard normal numbers (B, count), float32, of samples first .. first + count - 1."""
    low, high = first >> 2, (first + count + 3) >> 2
    block = torch.arange(low, high, device=neurons.device)
    who = neurons[:, None].expand(-1, len(block))
    counter = (block & _LOW, block >> 32, who & _LOW, who >> 32)
    w0, w1, w2, w3 = philox(tuple(x.expand_as(who) for x in counter), seed)
    (cos1, sin1), (cos3, sin3), r0, r2 = circle(w1), circle(w3), radius(w0), radius(w2)
    numbers = torch.stack((r0 * cos1, r0 * sin1, r2 * cos3, r2 * sin3), -1).flatten(1)
    return numbers[:, first - 4 * low :][:, :count]


def low_pass(x: Tensor, transients: Tensor, sections: Tensor) -> Tensor:
    """One sample x (B,), float32, through both filters; transients (8, B) are updated in place."""
    for section in range(4):
        K, a1, a2 = sections[section % 2].unbind()
        s1, s2 = transients[2 * section : 2 * section + 2]
        u = K * x
        y = u + s1
        transients[2 * section] = ((u + u) - a1 * y) + s2
        transients[2 * section + 1] = u - a2 * y
        x = y
    return x


def settings(noise: Noise, sampling: float, dt: float, like: Tensor, seed: int) -> NoiseSettings:
    """A noise current for rows of g, ``like`` (B, channels), as an engine takes it."""
    sampling = noise.sampling or sampling
    every = round(sampling / dt)
    if every < 1 or abs(every * dt - sampling) > 1e-9 * sampling:
        raise ValueError(f"noise.sampling must be a multiple of dt, {dt:g} ms, got {sampling:g} ms")
    sigma = torch.as_tensor(noise.sigma, dtype=like.dtype, device=like.device)
    if sigma.shape not in ((), (len(like),)):
        raise ValueError(
            f"noise.sigma must be a number or have shape ({len(like)},), got {tuple(sigma.shape)}"
            f"{one_row(sigma, len(like))}"
        )
    if noise.first + len(like) > 2**63:
        raise ValueError(
            f"noise.first must be at most 2^63 - {len(like)}, the neurons of g, got {noise.first}"
        )
    neurons = torch.arange(len(like), device=like.device) + noise.first
    warm_up = round(WARM_UP / sampling)
    return NoiseSettings(
        sigma.reshape(-1), neurons, seed, every, warm_up, sections(noise.cutoff, sampling)
    )


def same_numbers(a: NoiseSettings, b: NoiseSettings) -> bool:
    """Whether both draw the same numbers for the same neurons; sigma may differ."""
    plain = (a.seed, a.every, a.warm_up) == (b.seed, b.every, b.warm_up)
    return plain and torch.equal(a.neurons, b.neurons) and torch.equal(a.sections, b.sections)


class Stream:
    """The noise of some neurons from a step on; ``numbers`` (B, 10) float64 are its columns of a
    state."""

    def __init__(self, settings: NoiseSettings, numbers: Tensor, step: int, steps: int) -> None:
        self._settings = settings
        self._sections = settings.sections.to(numbers.device)
        numbers = numbers.float().T.contiguous()
        self._transients = numbers[:TRANSIENTS].clone()
        self._before, self._after = numbers[TRANSIENTS], numbers[TRANSIENTS + 1]
        # The samples that these steps ask for: the one after each step that is a multiple.
        every = settings.every
        first, last = -(-step // every), -(-(step + steps) // every)
        self._first = first
        self._white = white(
            settings.neurons, first + 1 + settings.warm_up, last - first, settings.seed
        )

    def at(self, step: int) -> Tensor:
        """The current of a step, (B,) or (1,), in the dtype of sigma; steps come in order."""
        sample, part = divmod(step, self._settings.every)
        if part == 0:
            x = self._white[:, sample - self._first]
            self._before = self._after
            self._after = low_pass(x, self._transients, self._sections)
        w = torch.tensor((part + 0.5) / self._settings.every, dtype=torch.float32)
        value = self._before + w.to(self._before.device) * (self._after - self._before)
        return self._settings.sigma * value.to(self._settings.sigma.dtype)

    def numbers(self) -> Tensor:
        """The columns of a state, (B, 10) float64, after the last step."""
        rows = (self._transients, self._before[None], self._after[None])
        return torch.cat(rows).T.double()


def start(settings: NoiseSettings, step: int) -> Tensor:
    """The columns of a state (B, 10), float64, where noise begins at a step: the filters have run
    over the samples of the warm-up."""
    sample, part = divmod(step, settings.every)
    count = settings.warm_up + 1 + (part > 0)
    numbers = white(settings.neurons, sample, count, settings.seed)
    transients = numbers.new_zeros(TRANSIENTS, len(numbers))
    filters = settings.sections.to(numbers.device)
    before = after = numbers.new_zeros(len(numbers))
    for x in numbers.unbind(1):
        before, after = after, low_pass(x, transients, filters)
    return torch.cat((transients, before[None], after[None])).T.double()


def _horner(x: Tensor, *coefficients: float) -> Tensor:
    """c0 + x (c1 + x (c2 + ...)), every operation rounded to float32."""
    value = x * _rounded(coefficients[-1]) + _rounded(coefficients[-2])
    for c in reversed(coefficients[:-2]):
        value = x * value + _rounded(c)
    return value


def _rounded(x: float) -> float:
    """The float32 next to x: a Python number that meets a float32 tensor is rounded in any case,
    but by each backend at its own place."""
    return torch.tensor(x, dtype=torch.float32).item()
