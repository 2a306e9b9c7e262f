// Several registers that a kernel works on as one: what is looked up for one of them serves all,
// and there is always another to work on while one waits.
#pragma once

#include "../../neurons/arithmetic.h"
#include "simd.h"

namespace lrnn::LRNN_ISA {

template <class T, int N>
struct Pack {
  static constexpr int kRegisters = N, kWidth = kVectorBytes / sizeof(T), kLanes = kWidth * N;
  using Register = Vec<T, kWidth>;

  Register r[N];
};

template <class T, int N>
struct Lane<Pack<T, N>> {
  using Scalar = T;
};

// f of the registers, one by one, of one to four packs.
template <class T, int N, class F, class... Packs>
LRNN_HD Pack<T, N> by_register(F f, const Pack<T, N>& x, const Packs&... others) {
  Pack<T, N> y;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) y.r[i] = f(x.r[i], others.r[i]...);
  return y;
}

#define LRNN_PACK_OPERATOR(op)                                                   \
  template <class T, int N>                                                      \
  LRNN_HD Pack<T, N> operator op(const Pack<T, N>& x, const Pack<T, N>& y) {     \
    return by_register([](auto a, auto b) LRNN_INLINE { return a op b; }, x, y); \
  }                                                                              \
  template <class T, int N>                                                      \
  LRNN_HD Pack<T, N> operator op(const Pack<T, N>& x, T s) {                     \
    return by_register([s](auto a) LRNN_INLINE { return a op s; }, x);           \
  }                                                                              \
  template <class T, int N>                                                      \
  LRNN_HD Pack<T, N> operator op(T s, const Pack<T, N>& x) {                     \
    return by_register([s](auto a) LRNN_INLINE { return s op a; }, x);           \
  }
#define LRNN_INLINE __attribute__((always_inline))
LRNN_PACK_OPERATOR(+)
LRNN_PACK_OPERATOR(-)
LRNN_PACK_OPERATOR(*)
#undef LRNN_PACK_OPERATOR

template <class T, int N>
LRNN_HD Pack<T, N> exp2_in_range(const Pack<T, N>& y) {
  return by_register([](auto a) LRNN_INLINE { return exp2_in_range(a); }, y);
}
template <class T, int N>
LRNN_HD Pack<T, N> saturation(const Pack<T, N>& z) {
  return by_register([](auto a) LRNN_INLINE { return saturation(a); }, z);
}
template <class T, int N>
LRNN_HD Pack<T, N> reciprocal(const Pack<T, N>& x) {
  return by_register([](auto a) LRNN_INLINE { return reciprocal(a); }, x);
}
template <class T, int N>
LRNN_HD Pack<T, N> quotient(const Pack<T, N>& x, const Pack<T, N>& y) {
  return by_register([](auto a, auto b) LRNN_INLINE { return a / b; }, x, y);
}
template <class T, int N>
LRNN_HD Pack<T, N> clamp(const Pack<T, N>& x, T low, T high) {
  return by_register([=](auto a) LRNN_INLINE { return clamp(a, low, high); }, x);
}
template <class T, int N>
LRNN_HD Pack<T, N> where_small(const Pack<T, N>& y, T limit, const Pack<T, N>& a,
                               const Pack<T, N>& b) {
  return by_register(
      [=](auto z, auto p, auto q) LRNN_INLINE { return where_small(z, limit, p, q); }, y, a, b);
}
template <class T, int N>
LRNN_HD Pack<T, N> zero_below(const Pack<T, N>& z, T limit, const Pack<T, N>& x) {
  return by_register([=](auto a, auto b) LRNN_INLINE { return zero_below(a, limit, b); }, z, x);
}

// One bit per lane, from a mask of zeros and ones (all bits of a lane).
template <class M>
LRNN_HD uint32_t bits_of(M mask) {
  constexpr bool kWords = sizeof(mask[0]) == 4;
#if defined(__AVX512DQ__)
  if constexpr (kWords)
    return _mm512_movepi32_mask(bit_cast<__m512i>(mask));
  else
    return _mm512_movepi64_mask(bit_cast<__m512i>(mask));
#elif defined(__AVX2__)
  if constexpr (kWords)
    return static_cast<uint32_t>(_mm256_movemask_ps(bit_cast<__m256>(mask)));
  else
    return static_cast<uint32_t>(_mm256_movemask_pd(bit_cast<__m256d>(mask)));
#elif defined(__SSE2__)
  if constexpr (kWords)
    return static_cast<uint32_t>(_mm_movemask_ps(bit_cast<__m128>(mask)));
  else
    return static_cast<uint32_t>(_mm_movemask_pd(bit_cast<__m128d>(mask)));
#else
  uint32_t bits = 0;
  for (unsigned i = 0; i < sizeof mask / sizeof mask[0]; ++i)
    bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}

// One bit per lane where x >= y; none where one of them is NaN.
template <class T, int N>
LRNN_HD uint32_t at_least(const Pack<T, N>& x, const Pack<T, N>& y) {
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) bits |= bits_of(x.r[i] >= y.r[i]) << (i * Pack<T, N>::kWidth);
  return bits;
}

}  // namespace lrnn::LRNN_ISA
