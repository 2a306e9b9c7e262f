// What the equations of neurons are made of, on a scalar or a SIMD register: exponentials of
// arguments whose range is known, and quotients.
#pragma once

#include "../math/functions.h"

namespace lrnn::LRNN_ISA {

inline constexpr double kLog2E = 1.44269504088896340736;

// What a GPU computes in one instruction: 2^y, and 1/x of a float within an ulp or two (2^-22 of
// it), 1/x of a double to 2^-20. Numbers below 2^-126 (double: 2^-1022) count for 0. CUDA_ON_CPU is
// the tests', whose estimates err by twice as much.
#if defined(__CUDA_ARCH__)
LRNN_HD float exp2_estimate(float y) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(y));
  return power;
}
LRNN_HD float reciprocal_estimate(float x) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
LRNN_HD double reciprocal_estimate(double x) {
  double r;
  asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(r) : "d"(x));
  return r;
}
#elif defined(CUDA_ON_CPU)
using cuda_on_cpu::exp2_estimate, cuda_on_cpu::reciprocal_estimate;
#endif

// (2^f - 1) / f for |f| <= 1/2, such that 2^f is good to 8e-8 (float), 2e-16 (double).
template <class V>
LRNN_HD V exp2_slope(V f) {
  using S = Scalar<V>;
  if constexpr (sizeof(S) == 4) {
    return S(0.6931469440) +
           f * (S(0.2402212024) +
                f * (S(0.0555071346) + f * (S(0.0096755410) + f * S(0.0013276467))));
  } else {
    V p = f * 4.698439849519882e-10 + 7.078254250272316e-09;
    p = p * f + 1.0176357256202586e-07;
    p = p * f + 1.3215405975636021e-06;
    p = p * f + 1.5252738250904846e-05;
    p = p * f + 1.5403530525281737e-04;
    p = p * f + 1.3333558141375539e-03;
    p = p * f + 9.618129107528265e-03;
    p = p * f + 5.55041086648437e-02;
    p = p * f + 2.402265069591036e-01;
    return p * f + 6.931471805599443e-01;
  }
}

// The whole number next to y, and 2 to its power, for -126 < y < 127 (double: 1022).
template <class V>
struct Whole {
  V n, power;
};
template <class V>
LRNN_HD Whole<V> whole(V y) {
  using S = Scalar<V>;
#if defined(__AVX512F__) && !defined(__CUDACC__)
  if constexpr (sizeof(V) == 64 && sizeof(S) == 4) {
    const __m512 n = _mm512_roundscale_ps(bit_cast<__m512>(y), 0);
    return {bit_cast<V>(n), bit_cast<V>(_mm512_scalef_ps(_mm512_set1_ps(1), n))};
  }
  if constexpr (sizeof(V) == 64 && sizeof(S) == 8) {
    const __m512d n = _mm512_roundscale_pd(bit_cast<__m512d>(y), 0);
    return {bit_cast<V>(n), bit_cast<V>(_mm512_scalef_pd(_mm512_set1_pd(1), n))};
  }
#endif
  constexpr bool kFloat = sizeof(S) == 4;
  constexpr S kRound = kFloat ? S(12582912.0) : S(6755399441055744.0);  // 1.5 * 2^23, 2^52
  const V shifted = y + kRound;
  const Int<V> bits = bit_cast<Int<V>>(shifted) - bit_cast<Int<V>>(constant<V>(kRound));
  return {shifted - kRound, bit_cast<V>((bits + (kFloat ? 127 : 1023)) << (kFloat ? 23 : 52))};
}

// 2^y for |y| < 126 (double: 1022), to 4e-6 (float), of which a gate, a sigmoid of it, has 1e-6; on
// a GPU to 2^-22.
template <class V>
LRNN_HD V exp2_in_range(V y) {
  using S = Scalar<V>;
#if defined(__CUDA_ARCH__) || defined(CUDA_ON_CPU)
  if constexpr (sizeof(S) == 4) return exp2_estimate(y);
#endif
  const auto [n, power] = whole(y);
  const V f = y - n;
  if constexpr (sizeof(S) == 4)
    return power * (S(0.99999928474) +
                    f * (S(0.69312179089) +
                         f * (S(0.24024744332) + f * (S(0.05591785908) + f * S(0.00957009662)))));
  else
    return power * (f * exp2_slope(f) + S(1));
}

// 1 - exp(-z) for z >= 0 of any size, to the last digits of z where it is small: dt times the
// conductance of a spike reaches several hundred, and a share of a slow relaxation is 1e-6.
template <class V>
LRNN_HD V saturation(V z) {
  using S = Scalar<V>;
  V y = z * S(-kLog2E);
#if !defined(__AVX512F__)
  constexpr S kLeast = sizeof(S) == 4 ? S(-125) : S(-1021);
  y = y < kLeast ? constant<V>(kLeast) : y;
#else
  if constexpr (sizeof(V) != 64) {
    constexpr S kLeast = sizeof(S) == 4 ? S(-125) : S(-1021);
    y = y < kLeast ? constant<V>(kLeast) : y;
  }
#endif
  const auto [n, power] = whole(y);
  const V f = y - n;
  return (S(1) - power) - power * (f * exp2_slope(f));
}

// 1/x within an ulp or two: an estimate, and Newton steps that it needs, where there is one.
template <class V>
LRNN_HD V reciprocal(V x) {
#if defined(__CUDA_ARCH__) || defined(CUDA_ON_CPU)
  using S = Scalar<V>;
  V r = reciprocal_estimate(x);
  if constexpr (sizeof(S) == 4) return r;
  r = r * (S(2) - x * r);
  return r + r * (S(1) - x * r);
#endif
#if defined(__AVX512F__) && !defined(__CUDACC__)
  using S = Scalar<V>;
  if constexpr (sizeof(V) == 64 && sizeof(S) == 4) {
    const V r = bit_cast<V>(_mm512_rcp14_ps(bit_cast<__m512>(x)));
    return r * (S(2) - x * r);
  }
  if constexpr (sizeof(V) == 64 && sizeof(S) == 8) {
    V r = bit_cast<V>(_mm512_rcp14_pd(bit_cast<__m512d>(x)));
    r = r * (S(2) - x * r);
    return r + r * (S(1) - x * r);
  }
#endif
  return constant<V>(1) / x;
}

template <class V>
LRNN_HD V quotient(V a, V b) {
  return a / b;
}

// a where |y| < limit, else b.
template <class V>
LRNN_HD V where_small(V y, Scalar<V> limit, V a, V b) {
  return abs(y) < limit ? a : b;
}
// 0 where z < limit, else x.
template <class V>
LRNN_HD V zero_below(V z, Scalar<V> limit, V x) {
  return z < limit ? V{} : x;
}

// exp((v + d) / c), for a v within kLimit.
template <class V>
LRNN_HD V exp_of(V v, double c, double d) {
  using S = Scalar<V>;
  return exp2_in_range(v * S(kLog2E / c) + S(d * kLog2E / c));
}

// y / (exp(y) - 1) as a quotient, at whose removable singularity both are as for small y.
template <class V>
struct Quotient {
  V over, under;
};
template <class V>
LRNN_HD Quotient<V> linear_over_exp(V v, double c, double d) {  // y = (v + d) / c
  using S = Scalar<V>;
  constexpr S kSmall = sizeof(S) == 4 ? S(1e-2) : S(1e-4);
  const V y = v * S(1 / c) + S(d / c);
  return {where_small(y, kSmall, constant<V>(1), y),
          where_small(y, kSmall, y * (y * S(1.0 / 6) + S(0.5)) + S(1), exp_of(v, c, d) - S(1))};
}

}  // namespace lrnn::LRNN_ISA
