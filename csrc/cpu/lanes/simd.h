// SIMD registers as GCC/Clang vector types, and loads and stores of every storage scalar.
#pragma once

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../../math/complex.h"

namespace lrnn::LRNN_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T, int N>
struct VecOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T>
struct VecOf<T, 1> {
  using type = T;
};
// N lanes of T; one lane is T itself, so that a tail runs the same source.
template <class T, int N>
using Vec = typename VecOf<T, N>::type;

template <class V>
LRNN_HD V load_raw(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
LRNN_HD void store_raw(void* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Stores past the caches where the register is 8 bytes or more and p is aligned to it. A processor
// gathers neighbouring stores to full lines before it writes them to memory, if they follow one
// another closely.
template <class V>
LRNN_HD void stream_raw(void* p, V v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64)
    return _mm512_stream_si512(static_cast<__m512i*>(p), bit_cast<__m512i>(v));
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32)
    return _mm256_stream_si256(static_cast<__m256i*>(p), bit_cast<__m256i>(v));
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16)
    return _mm_stream_si128(static_cast<__m128i*>(p), bit_cast<__m128i>(v));
  if constexpr (sizeof(V) == 8)
    return _mm_stream_si64(static_cast<long long*>(p), bit_cast<long long>(v));
#endif
  store_raw(p, v);
}

// Makes streamed stores visible before the task is reported done.
inline void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <class T, int N, class From>
LRNN_HD Vec<T, N> convert(From x) {
  if constexpr (N == 1)
    return static_cast<T>(x);
  else
    return __builtin_convertvector(x, Vec<T, N>);
}

// 16-bit storage types. They are bits; arithmetic is in float.
struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

// The low 16 bits of each lane; the values fit. GCC 12 has no short sequence for this conversion on
// AVX2.
template <int N>
LRNN_HD Vec<uint16_t, N> low_halves(Vec<uint32_t, N> x) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return bit_cast<Vec<uint16_t, N>>(_mm512_cvtepi32_epi16(bit_cast<__m512i>(x)));
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) {
    const __m256i packed = _mm256_packus_epi32(bit_cast<__m256i>(x), bit_cast<__m256i>(x));
    return bit_cast<Vec<uint16_t, N>>(
        _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
  }
#endif
  return convert<uint16_t, N>(x);
}

#if defined(__AVX512BW__)
// The high halves of the words of a register, and of the next one; and the inverse, for which
// number i goes to the high half of word i.
inline constexpr Vec<uint16_t, 32> kHighHalves = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                  23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                  45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
inline constexpr Vec<uint16_t, 32> kInHighHalves = {0, 0,  0, 1,  0, 2,  0, 3,  0, 4, 0,
                                                    5, 0,  6, 0,  7, 0,  8, 0,  9, 0, 10,
                                                    0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
#endif

template <class V>
LRNN_HD V widen(Vec<uint16_t, kLanes<V>> bits, BFloat16) {
#if defined(__AVX512BW__)
  if constexpr (kLanes<V> == 16) {  // every number into the high half of a word, in one instruction
    constexpr uint32_t kHigh = 0xaaaaaaaa;
    const __m512i low = _mm512_castsi256_si512(bit_cast<__m256i>(bits));
    return bit_cast<V>(
        _mm512_maskz_permutexvar_epi16(kHigh, bit_cast<__m512i>(kInHighHalves), low));
  }
#endif
  // GCC 12 widens in two halves.
#if defined(__AVX2__)
  if constexpr (kLanes<V> == 8)
    return bit_cast<V>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bit_cast<__m128i>(bits)), 16));
#endif
  return bit_cast<V>(convert<uint32_t, kLanes<V>>(bits) << 16);
}

// x rounded to bfloat16, to nearest, ties to even, in the low half of a word.
template <class V>
LRNN_HD Vec<uint32_t, kLanes<V>> rounded_low(V x) {
  using U = Vec<uint32_t, kLanes<V>>;
  const U bits = bit_cast<U>(x), rounded = (bits + (((bits >> 16) & 1u) + 0x7fffu)) >> 16;
  return x == x ? rounded : (U{} + 0x7fc0u);
}
#if defined(__AVX512BW__)
// The same in the high half, of which the low one is left; in half the instructions that GCC makes
// of rounded_low.
LRNN_HD __m512i rounded_high(__m512 x) {
  const __m512i quiet = _mm512_set1_epi32(0x7fc00000), odd = _mm512_set1_epi32(0x10000);
  const __m512 number =
      _mm512_fixupimm_ps(_mm512_castsi512_ps(quiet), x, _mm512_set1_epi32(0x11111100), 0);
  const __m512i value = _mm512_castps_si512(number),
                below = _mm512_add_epi32(value, _mm512_set1_epi32(0x7fff));
  return _mm512_mask_add_epi32(below, _mm512_test_epi32_mask(value, odd), below,
                               _mm512_set1_epi32(1));
}
#endif

template <class V>
LRNN_HD Vec<uint16_t, kLanes<V>> narrow(V x, BFloat16) {  // to nearest, ties to even
#if defined(__AVX512BF16__)
  // One instruction for five; it makes 0 of subnormal numbers, below 1.2e-38.
  if constexpr (kLanes<V> == 16)
    return bit_cast<Vec<uint16_t, kLanes<V>>>(_mm512_cvtneps_pbh(bit_cast<__m512>(x)));
#endif
#if defined(__AVX512BW__)
  if constexpr (kLanes<V> == 16) {
    const __m512i high =
        _mm512_permutexvar_epi16(bit_cast<__m512i>(kHighHalves), rounded_high(bit_cast<__m512>(x)));
    return bit_cast<Vec<uint16_t, kLanes<V>>>(_mm512_castsi512_si256(high));
  }
#endif
  return low_halves<kLanes<V>>(rounded_low(x));
}

template <class V>
LRNN_HD V widen(Vec<uint16_t, kLanes<V>> half, Half) {
#if defined(__AVX512F__)
  if constexpr (kLanes<V> == 16) return bit_cast<V>(_mm512_cvtph_ps(bit_cast<__m256i>(half)));
#endif
#if defined(__F16C__)
  if constexpr (kLanes<V> == 8) return bit_cast<V>(_mm256_cvtph_ps(bit_cast<__m128i>(half)));
#endif
  using U = Vec<uint32_t, kLanes<V>>;
  const U h = convert<uint32_t, kLanes<V>>(half);
  const U magnitude = (h & 0x7fffu) << 13;
  const U finite =
      bit_cast<U>(bit_cast<V>(magnitude) * Scalar<V>(0x1p112f));  // exact, subnormals included
  const U special = magnitude | 0x7f800000u;
  return bit_cast<V>(((h & 0x7c00u) == 0x7c00u ? special : finite) | ((h & 0x8000u) << 16));
}

template <class V>
LRNN_HD Vec<uint16_t, kLanes<V>> narrow(V x, Half) {  // to nearest, ties to even
  using H [[maybe_unused]] = Vec<uint16_t, kLanes<V>>;
#if defined(__AVX512F__)
  if constexpr (kLanes<V> == 16)
    return bit_cast<H>(_mm512_cvtps_ph(bit_cast<__m512>(x), _MM_FROUND_TO_NEAREST_INT));
#endif
#if defined(__F16C__)
  if constexpr (kLanes<V> == 8)
    return bit_cast<H>(_mm256_cvtps_ph(bit_cast<__m256>(x), _MM_FROUND_TO_NEAREST_INT));
#endif
  using U = Vec<uint32_t, kLanes<V>>;
  const U bits = bit_cast<U>(x), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  // Subnormal results: adding 1/2 puts the rounding position at the last bit of a float whose
  // integer part is then dropped.
  const U subnormal = bit_cast<U>(bit_cast<V>(magnitude) + Scalar<V>(0.5)) - 0x3f000000u;
  const U normal = (magnitude - 0x38000000u + (((magnitude >> 13) & 1u) + 0xfffu)) >> 13;
  const U infinite = U{} + 0x7c00u, nan = U{} + 0x7e00u;
  const U finite =
      magnitude < 0x38800000u ? subnormal : (magnitude >= 0x477ff000u ? infinite : normal);
  return convert<uint16_t, kLanes<V>>(sign | (x == x ? finite : nan));
}

// Loads kLanes<V> storage scalars as V; store is its inverse.
template <class V, class S>
LRNN_HD V load(const S* p) {
  if constexpr (sizeof(S) == sizeof(Scalar<V>))
    return load_raw<V>(p);
  else
    return widen<V>(load_raw<Vec<uint16_t, kLanes<V>>>(p), S{});
}
template <class V, class S>
LRNN_HD void store(S* p, V v, bool past_caches = false) {
  const auto put = [&](auto bits) __attribute__((always_inline)) {
    past_caches ? stream_raw(p, bits) : store_raw(p, bits);
  };
  if constexpr (sizeof(S) == sizeof(Scalar<V>))
    put(v);
  else
    put(narrow(v, S{}));
}

// Two registers side by side. Those of bfloat16 are moved as one where that takes fewer of the
// instructions that wait for each other: a processor has one or two units that move numbers between
// lanes, and these also convert.
template <class V, class S>
LRNN_HD void load_pair(const S* p, V* v) {
#if defined(__AVX512BW__)
  if constexpr (__is_same(S, BFloat16) && kLanes<V> == 16) {
    constexpr uint32_t kHigh = 0xaaaaaaaa;
    __m512i both = load_raw<__m512i>(p);
    asm("" : "+v"(both));  // or GCC would load it twice
    const __m512i low = bit_cast<__m512i>(kInHighHalves),
                  high = bit_cast<__m512i>(kInHighHalves + uint16_t{16});
    v[0] = bit_cast<V>(_mm512_maskz_permutexvar_epi16(kHigh, low, both));
    v[1] = bit_cast<V>(_mm512_maskz_permutexvar_epi16(kHigh, high, both));
    return;
  }
#endif
  for (int i = 0; i < 2; ++i) v[i] = load<V>(p + i * kLanes<V>);
}
template <class V, class S>
LRNN_HD void store_pair(S* p, const V* v, bool past_caches = false) {
  const auto put = [&](auto bits) __attribute__((always_inline)) {
    past_caches ? stream_raw(p, bits) : store_raw(p, bits);
  };
#if defined(__AVX512BF16__)
  if constexpr (__is_same(S, BFloat16) && kLanes<V> == 16)
    return put(
        bit_cast<__m512i>(_mm512_cvtne2ps_pbh(bit_cast<__m512>(v[1]), bit_cast<__m512>(v[0]))));
#endif
#if defined(__AVX512BW__)
  if constexpr (__is_same(S, BFloat16) && kLanes<V> == 16)
    return put(_mm512_permutex2var_epi16(rounded_high(bit_cast<__m512>(v[0])),
                                         bit_cast<__m512i>(kHighHalves),
                                         rounded_high(bit_cast<__m512>(v[1]))));
#endif
#if defined(__AVX2__)
  if constexpr (__is_same(S, BFloat16) && kLanes<V> == 8) {
    const __m256i packed = _mm256_packus_epi32(bit_cast<__m256i>(rounded_low(v[0])),
                                               bit_cast<__m256i>(rounded_low(v[1])));
    return put(_mm256_permute4x64_epi64(packed, 0xd8));  // halves were packed lane by lane
  }
#endif
  for (int i = 0; i < 2; ++i) store(p + i * kLanes<V>, v[i], past_caches);
}

template <int...>
struct Indices {};
template <int N, int... i>
struct IndicesUpTo : IndicesUpTo<N - 1, N - 1, i...> {};
template <int... i>
struct IndicesUpTo<0, i...> {
  using type = Indices<i...>;
};
template <int N>
using MakeIndices = typename IndicesUpTo<N>::type;

// Complex values with re and im alternating: two registers in, re and im out.
template <class V, class S>
LRNN_HD Complex<V> load_interleaved(const S* p) {
  constexpr int N = kLanes<V>;
  if constexpr (N == 1) {
    return {p[0], p[1]};
  } else {
    const V low = load_raw<V>(p), high = load_raw<V>(p + N);
    return [&]<int... i>(Indices<i...>) __attribute__((always_inline)) {
      return Complex<V>{__builtin_shufflevector(low, high, (2 * i)...),
                        __builtin_shufflevector(low, high, (2 * i + 1)...)};
    }(MakeIndices<N>{});
  }
}
template <class V, class S>
LRNN_HD void store_interleaved(S* p, Complex<V> z, bool past_caches) {
  constexpr int N = kLanes<V>;
  if constexpr (N == 1) {
    p[0] = z.re;
    p[1] = z.im;
  } else {
    [&]<int... i>(Indices<i...>) __attribute__((always_inline)) {
      const V low = __builtin_shufflevector(z.re, z.im, (i / 2 + (i % 2) * N)...);
      const V high = __builtin_shufflevector(z.re, z.im, (N / 2 + i / 2 + (i % 2) * N)...);
      store(p, low, past_caches);
      store(p + N, high, past_caches);
    }(MakeIndices<N>{});
  }
}

}  // namespace lrnn::LRNN_ISA
