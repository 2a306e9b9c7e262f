// Elementwise arithmetic for cells: the same source runs on a float, a double or a SIMD register of
// either.
//
// A register is a GCC/Clang vector type, so + - * / and comparisons are the language's own, `mask ?
// a : b` selects lane by lane, and a cell reads like scalar code. Everything lives in a namespace
// named after the instruction set it is compiled for: the same template compiled for two
// instruction sets must not be merged by the linker.
#pragma once

#include <stdint.h>

#if defined(__SSE2__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

#if defined(__CUDACC__)
#define LRNN_HD __host__ __device__ __forceinline__
#else
#define LRNN_HD inline __attribute__((always_inline))
#endif

#ifndef LRNN_ISA
#define LRNN_ISA generic
#endif

namespace lrnn::LRNN_ISA {

// Lane traits: Scalar<V> is the element type of V, Int<V> the signed integers of the same width,
// kLanes<V> the lane count.
template <class V>
struct Lane {
  using Scalar = __typeof__(V{}[0] + V{}[0]);
  using Int = __typeof__(V{} < V{});
};
template <>
struct Lane<float> {
  using Scalar = float;
  using Int = int32_t;
};
template <>
struct Lane<double> {
  using Scalar = double;
  using Int = int64_t;
};
template <class V>
using Scalar = typename Lane<V>::Scalar;
template <class V>
using Int = typename Lane<V>::Int;
template <class V>
inline constexpr int kLanes = sizeof(V) / sizeof(Scalar<V>);

template <class V>
LRNN_HD V constant(Scalar<V> x) {
  return V{} + x;
}

template <class To, class From>
LRNN_HD To bit_cast(From x) {
  return __builtin_bit_cast(To, x);
}

// 0 where the mask is false, x where it is true.
template <class M, class V>
LRNN_HD V zero_unless(M mask, V x) {
  return mask ? x : V{};
}

template <class V>
LRNN_HD V abs(V x) {
  constexpr auto kMagnitude =
      sizeof(Scalar<V>) == 4 ? int64_t{0x7fffffff} : int64_t{0x7fffffffffffffff};
  return bit_cast<V>(bit_cast<Int<V>>(x) & (Int<V>{} + static_cast<Scalar<Int<V>>>(kMagnitude)));
}
template <>
LRNN_HD float abs(float x) {
  return __builtin_fabsf(x);
}
template <>
LRNN_HD double abs(double x) {
  return __builtin_fabs(x);
}

// x, or -x where the sign bit of s is set. One instruction of AVX-512, which compilers do not find
// under a mask.
template <class V>
LRNN_HD V flip_sign(V x, V s) {
  const Int<V> sign = bit_cast<Int<V>>(-V{});  // -0.0: the sign bit
#if defined(__AVX512F__) && !defined(__CUDACC__)
  constexpr int kXorAnd = 0x78;  // x ^ (s & sign)
  if constexpr (sizeof(V) == 64)
    return bit_cast<V>(_mm512_ternarylogic_epi32(bit_cast<__m512i>(x), bit_cast<__m512i>(s),
                                                 bit_cast<__m512i>(sign), kXorAnd));
#endif
  return bit_cast<V>(bit_cast<Int<V>>(x) ^ (bit_cast<Int<V>>(s) & sign));
}

// x limited to [low, high]; NaN stays NaN. x86 has this as two instructions, which compilers do not
// find in the comparisons.
template <class V>
LRNN_HD V clamp(V x, Scalar<V> low, Scalar<V> high) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
  if constexpr (sizeof(V) == 64 && sizeof(Scalar<V>) == 4)
    return bit_cast<V>(_mm512_max_ps(_mm512_set1_ps(low),
                                     _mm512_min_ps(_mm512_set1_ps(high), bit_cast<__m512>(x))));
#endif
#if defined(__AVX__) && !defined(__CUDACC__)
  if constexpr (sizeof(V) == 32 && sizeof(Scalar<V>) == 4)
    return bit_cast<V>(_mm256_max_ps(_mm256_set1_ps(low),
                                     _mm256_min_ps(_mm256_set1_ps(high), bit_cast<__m256>(x))));
#endif
  const V lowest = constant<V>(low), highest = constant<V>(high);
  return x < lowest ? lowest : (x > highest ? highest : x);
}

// max(x, 0), NaN stays NaN.
template <class V>
LRNN_HD V relu(V x) {
#if defined(__AVX512F__) && !defined(__CUDACC__)
  if constexpr (sizeof(V) == 64 && sizeof(Scalar<V>) == 4)
    return bit_cast<V>(_mm512_max_ps(_mm512_setzero_ps(), bit_cast<__m512>(x)));
#endif
#if defined(__AVX__) && !defined(__CUDACC__)
  if constexpr (sizeof(V) == 32 && sizeof(Scalar<V>) == 4)
    return bit_cast<V>(_mm256_max_ps(_mm256_setzero_ps(), bit_cast<__m256>(x)));
#endif
  return x < V{} ? V{} : x;
}

// exp(x) in double; infinity beyond the largest number, 0 below about 1e-308, NaN stays NaN.
// Elsewhere the relative error is below 2 ulp: reduction by ln 2 in two parts, then the (2,3)
// rational form with the coefficients of Cephes.
template <class V>
LRNN_HD V exp(V x) {
  using I = Int<V>;
  static_assert(sizeof(Scalar<V>) == 8);
  constexpr double kRound = 6755399441055744.0;     // 1.5 * 2^52: adding it rounds to an integer
  const V clamped = clamp(x, -708.3964185, 710.2);  // where n is 1025, whose exponent is infinity's
  const V shifted = clamped * 1.44269504088896340736 + kRound;
  const V n = shifted - kRound;
  const V r = clamped - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6;
  const V rr = r * r;
  const V num = r * ((1.26177193074810590878e-4 * rr + 3.02994407707441961300e-2) * rr +
                     9.99999999999999999910e-1);
  const V den = ((3.00198505138664455042e-6 * rr + 2.52448340349684104192e-3) * rr +
                 2.27265548208155028766e-1) *
                    rr +
                2.00000000000000000009;
  const V p = 2.0 * num / (den - num) + 1.0;
  // 2^n, put together from its bits; where x is NaN the bits are anything, but p is NaN too. The
  // top exponent would be infinity at n = 1024, where the result may be finite still, so the factor
  // is 2^(n-1), doubled.
  const I exponent = (bit_cast<I>(shifted) - (bit_cast<I>(constant<V>(kRound)) - 1022)) << 52;
  return (p + p) * bit_cast<V>(exponent);
}

// 1 / (1 + exp(-x)), within 3 ulp (float) or 4 (double) down to the smallest normal number, then
// falling to 0, which a gate that is masked by -infinity is; NaN stays NaN. float: exp(-x) = 2^n
// e^r with |r| <= ln(2)/2, a polynomial of e^r good to 2e-9, and n put into the exponent, where the
// limits of x keep it: at the lower one n is 128, whose bits are infinity's.
template <class V>
LRNN_HD V sigmoid(V x) {
  using S = Scalar<V>;
  if constexpr (sizeof(S) == 8) {
    return constant<V>(1) / (exp(-x) + S(1));
  } else {
    constexpr S kRound =
        S(12582912.0);  // 1.5 * 2^23: adding it rounds to an integer, in the lowest bits
    const V c = clamp(x, S(-89), S(87));
    const V shifted = c * S(-1.44269504088896340736) + kRound, n = shifted - kRound;
    const V r = -c - n * S(0.693359375) - n * S(-2.12194440e-4);
    V p = constant<V>(S(1.3843606663e-3));
    p = p * r + S(8.3741956195e-3);
    p = p * r + S(4.1668004726e-2);
    p = p * r + S(1.6666430800e-1);
    p = p * r + S(4.9999994192e-1);
    p = (p * r + S(1)) * r + S(1);
    const Int<V> exponent = (bit_cast<Int<V>>(shifted) + 127) << 23;
    return constant<V>(1) / (p * bit_cast<V>(exponent) + S(1));
  }
}

// 2^x, NaN stays NaN; for a gate whose scale is known, so that log2(e) goes into the scale. float:
// a polynomial on [0, 1) good to 7.5e-8; x itself is rounded, so the relative error grows by 0.7
// |x| u. Infinity beyond the largest number; where the instruction set does not scale by powers of
// two, 2^-126 is the least result.
template <class V>
LRNN_HD V exp2(V x) {
  using S = Scalar<V>;
  if constexpr (sizeof(S) == 8) {
    return exp(x * S(0.69314718055994530942));
  } else {
    const auto polynomial = [](V r) __attribute__((always_inline)) {
      const V p = (((r * S(1.8775786003e-3) + S(8.9893427191e-3)) * r + S(5.5826308102e-2)) * r +
                   S(2.4015362426e-1)) *
                  r;
      return (p + S(6.9315307148e-1)) * r + S(9.9999992517e-1);
    };
#if defined(__AVX512DQ__) && !defined(__CUDACC__)
    if constexpr (sizeof(V) == 64) {
      const __m512 t = bit_cast<__m512>(x);
      const V r = bit_cast<V>(_mm512_reduce_ps(t, 0x09));  // x - floor(x)
      return bit_cast<V>(_mm512_scalef_ps(bit_cast<__m512>(polynomial(r)), t));
    }
#endif
    const V t = clamp(x, S(-126), S(128));  // 2^128 has the bits of infinity
    const V shifted = t - S(0.5) + S(12582912.0), n = shifted - S(12582912.0);
    const Int<V> exponent =
        (bit_cast<Int<V>>(shifted) - (bit_cast<Int<V>>(constant<V>(S(12582912.0))) - 127)) << 23;
    return polynomial(t - n) * bit_cast<V>(exponent);
  }
}

// tanh(x), in [-1, 1], NaN stays NaN. float: x P(x^2) / Q(x^2) with P, Q of degree 4, fitted to a
// relative error of 7.4e-9 on [0, 8.1]; rounding included, the error is below 6 ulp everywhere.
// From kEnd on it is constant, and 1: there the quotient rounds to 1 itself, with fused
// multiply-adds and without, so that 1 - tanh^2 of a saturated argument is 0, whatever it is
// multiplied with. double: Cephes' rational form for |x| < 0.625, else 1 - 2 / (exp(2|x|) + 1);
// below 3 ulp.
template <class V>
LRNN_HD V tanh(V x) {
  using S = Scalar<V>;
  if constexpr (sizeof(S) == 4) {
    constexpr S kEnd = S(8.0878);
    const V v = clamp(x, -kEnd, kEnd), s = v * v;
    const V p = (((s * S(1.5035073450e-8) + S(2.1766365584e-5)) * s + S(3.5641861138e-3)) * s +
                 S(1.3438352233e-1)) *
                    s +
                S(9.9999999276e-1);
    const V q = (((s * S(8.4465841255e-7) + S(3.3989259930e-4)) * s + S(2.6136553386e-2)) * s +
                 S(4.6771678825e-1)) *
                    s +
                S(1);
    const V t = v * p / q;
#if defined(__FMA__) || defined(__CUDACC__) || defined(__ARM_FEATURE_FMA)
    return t;
#else
    return clamp(t, S(-1), S(1));  // two roundings per step can end one ulp above 1
#endif
  } else {
    const V magnitude = abs(x), s = x * x;
    const V p = (s * S(-9.64399179425052238628e-1) + S(-9.92877231001918586564e1)) * s +
                S(-1.61468768441708447952e3);
    const V q = ((s + S(1.12811678491632931402e2)) * s + S(2.23548839060100448583e3)) * s +
                S(4.84406305325125486048e3);
    const V small = x + x * s * p / q;
    const V large = constant<V>(1) - constant<V>(2) / (exp(magnitude + magnitude) + S(1));
    return magnitude < constant<V>(S(0.625)) ? small : (x < V{} ? -large : large);
  }
}

}  // namespace lrnn::LRNN_ISA
