"""The noise current: the numbers of lrnn_kernels/neurons/noise.py, to the bit.

All in float32, every operation rounded: quotients and roots by name, and kernels that use this are
compiled without contraction.
"""

import triton
import triton.language as tl


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: four words of a counter of four words under a key of two."""
    for _ in tl.static_range(10):
        high0, low0 = _product(c0, 0xD2511F53)
        high2, low2 = _product(c2, 0xCD9E8D57)
        c0 = high2 ^ c1 ^ k0
        c1 = low2
        c2 = high0 ^ c3 ^ k1
        c3 = low0
        k0 = k0 + tl.full(k0.shape, 0x9E3779B9, tl.uint32)
        k1 = k1 + tl.full(k1.shape, 0xBB67AE85, tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def _product(x, y: tl.constexpr):
    """The high and the low words of x y."""
    factor = tl.full(x.shape, y, tl.uint32)
    return tl.umulhi(x, factor), x * factor


@triton.jit
def radius(word):
    """sqrt(-2 ln u) of u = (word's upper 24 bits + 1) 2^-24."""
    u = ((word >> 8) + 1).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08
    bits = u.to(tl.int32, bitcast=True) - 0x3F3504F3
    x = ((bits & 0x7FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True)  # in [sqrt(1/2), sqrt(2))
    s = tl.div_rn(x - 1.0, x + 1.0)
    z = s * s
    q = 1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9)))
    d = s + s
    log = (bits >> 23).to(tl.float32) * 0.6931471805599453 + (d + d * (z * q))
    return tl.sqrt_rn(log * -2.0)


@triton.jit
def circle(word):
    """Cosine and sine of 2 pi (word's upper 24 bits) 2^-24."""
    j = (word >> 8).to(tl.int32)
    quarter = (j + 2097152) >> 22
    phi = (j - (quarter << 22)).to(tl.float32) * (6.283185307179586 / 16777216)
    p = phi * phi
    sine = phi + phi * (p * (-1 / 6 + p * (1 / 120 + p * (-1 / 5040 + p * (1 / 362880)))))
    cosine = 1.0 + p * (-1 / 2 + p * (1 / 24 + p * (-1 / 720 + p * (1 / 40320))))
    odd = (quarter & 1) != 0
    x = tl.where(odd, -sine, cosine)
    y = tl.where(odd, cosine, sine)
    negative = (quarter & 2) != 0
    return tl.where(negative, -x, x), tl.where(negative, -y, y)


@triton.jit
def white(neurons, sample, key):
    """The standard normal number of a sample, for a tile of neurons."""
    block = tl.zeros(neurons.shape, tl.int64) + (sample >> 2)
    k0 = tl.zeros(neurons.shape, tl.uint32) + key[0]
    k1 = tl.zeros(neurons.shape, tl.uint32) + key[1]
    w0, w1, w2, w3 = philox(
        block.to(tl.uint32),
        (block >> 32).to(tl.uint32),
        neurons.to(tl.uint32),
        (neurons >> 32).to(tl.uint32),
        k0,
        k1,
    )
    place = tl.zeros(neurons.shape, tl.int64) + (sample & 3)  # in the block
    r = radius(tl.where(place < 2, w0, w2))
    x, y = circle(tl.where(place < 2, w1, w3))
    return r * tl.where((place & 1) == 0, x, y)


@triton.jit
def low_pass(x, before, sections):
    """A sample through both filters. before, and what is returned, are the columns of a state: two
    transients of each section, and the last two samples."""
    after = ()
    for i in tl.static_range(4):
        K = sections[3 * (i % 2)]
        a1 = sections[3 * (i % 2) + 1]
        a2 = sections[3 * (i % 2) + 2]
        u = K * x
        y = u + before[2 * i]
        after = after + (((u + u) - a1 * y) + before[2 * i + 1], u - a2 * y)
        x = y
    return after + (before[9], x)
