// The numbers of the noise that drives neurons, one at a time: all in float, every operation
// rounded, so that they are the same on every machine. lrnn_kernels/neurons/noise.py is the
// readable form.
#pragma once

#include "../math/functions.h"
#include "args.h"

namespace lrnn::LRNN_ISA {

// A float whose products no compiler fuses with sums: a C++ compiler is told so by a flag
// (-ffp-contract=off), nvcc by the operations' names.
struct Rounded {
  float x;
  LRNN_HD constexpr Rounded(float x) : x(x) {}
};
#if defined(__CUDA_ARCH__) || defined(CUDA_ON_CPU)
LRNN_HD Rounded operator*(Rounded a, Rounded b) { return __fmul_rn(a.x, b.x); }
LRNN_HD Rounded operator+(Rounded a, Rounded b) { return __fadd_rn(a.x, b.x); }
LRNN_HD Rounded operator-(Rounded a, Rounded b) { return __fsub_rn(a.x, b.x); }
LRNN_HD Rounded operator/(Rounded a, Rounded b) { return __fdiv_rn(a.x, b.x); }
LRNN_HD Rounded square_root(Rounded a) { return __fsqrt_rn(a.x); }
#else
LRNN_HD Rounded operator*(Rounded a, Rounded b) { return a.x * b.x; }
LRNN_HD Rounded operator+(Rounded a, Rounded b) { return a.x + b.x; }
LRNN_HD Rounded operator-(Rounded a, Rounded b) { return a.x - b.x; }
LRNN_HD Rounded operator/(Rounded a, Rounded b) { return a.x / b.x; }
LRNN_HD Rounded square_root(Rounded a) { return __builtin_sqrtf(a.x); }
#endif

// a b, as one rounded operation.
LRNN_HD double rounded_product(double a, double b) {
#if defined(__CUDA_ARCH__) || defined(CUDA_ON_CPU)
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

inline constexpr float kSqrtHalf = 0x1.6a09e6p-1f;  // whose bits are kSqrtHalfBits
inline constexpr int32_t kSqrtHalfBits = 0x3f3504f3, kMantissa = 0x7fffff;
static_assert(__builtin_bit_cast(int32_t, kSqrtHalf) == kSqrtHalfBits);

// sqrt(-2 ln u) of u = (word's high 24 bits + 1) / 2^24.
LRNN_HD Rounded noise_radius(uint32_t word) {
  const float u = static_cast<float>(static_cast<int32_t>((word >> 8) + 1)) * 0x1p-24f;  // exact
  const int32_t b = __builtin_bit_cast(int32_t, u) - kSqrtHalfBits, e = b >> 23;
  const Rounded x = __builtin_bit_cast(float, (b & kMantissa) + kSqrtHalfBits);  // u / 2^e
  const Rounded f = x - 1.0f, s = f / (x + 1.0f), z = s * s;
  const Rounded q =
      float(1.0 / 3) + z * (float(1.0 / 5) + z * (float(1.0 / 7) + z * float(1.0 / 9)));
  const Rounded d = s + s, t = d + d * (z * q);
  const Rounded L = Rounded(static_cast<float>(e)) * 0.6931471805599453f + t;
  return square_root(-2.0f * L);
}

// r times the cosine and the sine of a turn's share: the word's high 24 bits of 2^24.
LRNN_HD void noise_turn(uint32_t word, Rounded r, float& a, float& b) {
  const int32_t j = static_cast<int32_t>(word >> 8), quarter = (j + (1 << 21)) >> 22;
  const Rounded phi = Rounded(static_cast<float>(j - (quarter << 22))) *
                      float(6.283185307179586476925 / 16777216.0);
  const Rounded p = phi * phi;
  const Rounded sine =
      phi + phi * (p * (float(-1.0 / 6) + p * (float(1.0 / 120) + p * (float(-1.0 / 5040) +
                                                                       p * float(1.0 / 362880)))));
  const Rounded cosine =
      1.0f + p * (-0.5f + p * (float(1.0 / 24) + p * (float(-1.0 / 720) + p * float(1.0 / 40320))));
  const bool swapped = quarter & 1;
  const float c = swapped ? sine.x : cosine.x, s = swapped ? cosine.x : sine.x;
  a = (r * (((quarter + 1) & 2) ? -c : c)).x;
  b = (r * ((quarter & 2) ? -s : s)).x;
}

// A block of four white numbers of a neuron: Philox4x32-10 of the halves of its number.
LRNN_HD void noise_block(uint64_t seed, uint64_t block, uint32_t low, uint32_t high, float& w0,
                         float& w1, float& w2, float& w3) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32), c2 = low,
           c3 = high;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  noise_turn(c1, noise_radius(c0), w0, w1);
  noise_turn(c3, noise_radius(c2), w2, w3);
}

// A number through one section of the filter, c: its gain, a1, a2.
LRNN_HD float noise_section(const float (&c)[3], float& s1, float& s2, float x) {
  const Rounded u = Rounded(c[0]) * x, y = u + s1;
  s1 = (((u + u) - c[1] * y) + s2).x;
  s2 = (u - c[2] * y).x;
  return y.x;
}

// The noise at a share of the way from one sample to the next.
LRNN_HD float noise_between(float now, float next, float share) {
  return (now + share * (Rounded(next) - now)).x;
}

}  // namespace lrnn::LRNN_ISA
