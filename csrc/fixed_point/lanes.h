// Registers of 16-bit integers, and the three operations on them that GCC's vector types lack.
#pragma once

#include "../cpu/lanes/simd.h"
#include "args.h"

namespace lrnn::fixed_point::LRNN_ISA {

using lrnn::LRNN_ISA::bit_cast;
using lrnn::LRNN_ISA::kVectorBytes;
using lrnn::LRNN_ISA::load_raw;
using lrnn::LRNN_ISA::store_raw;

inline constexpr int kLanes = kVectorBytes / 2;
using I16 = lrnn::LRNN_ISA::Vec<int16_t, kLanes>;
using U16 = lrnn::LRNN_ISA::Vec<uint16_t, kLanes>;
using U64 = lrnn::LRNN_ISA::Vec<uint64_t, kVectorBytes / 8>;

// Sums modulo 2^16: overflow of signed lanes would be undefined.
LRNN_HD I16 add(I16 a, I16 b) { return bit_cast<I16>(bit_cast<U16>(a) + bit_cast<U16>(b)); }

// (a b) >> 16, rounding down.
LRNN_HD I16 multiply_high(I16 a, I16 b) {
#if defined(__AVX512BW__)
  return bit_cast<I16>(_mm512_mulhi_epi16(bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<I16>(_mm256_mulhi_epi16(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return bit_cast<I16>(_mm_mulhi_epi16(bit_cast<__m128i>(a), bit_cast<__m128i>(b)));
#else
  I16 high;
  for (int i = 0; i < kLanes; ++i) high[i] = static_cast<int16_t>((int32_t{a[i]} * b[i]) >> 16);
  return high;
#endif
}

// Products of the low halves of 64-bit lanes; the high halves may hold anything.
LRNN_HD U64 multiply_low_halves(U64 a, U64 b) {
#if defined(__AVX512F__)
  return bit_cast<U64>(_mm512_mul_epu32(bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<U64>(_mm256_mul_epu32(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return bit_cast<U64>(_mm_mul_epu32(bit_cast<__m128i>(a), bit_cast<__m128i>(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// One bit per lane, from a mask of zeros and ones (all bits of a lane).
LRNN_HD uint32_t bits_of(I16 mask) {
#if defined(__AVX512BW__)
  return _mm512_movepi16_mask(bit_cast<__m512i>(mask));
#elif defined(__AVX2__)
  const __m256i m = bit_cast<__m256i>(mask);
  // Packing works within halves; the permutation brings the four quarters into order.
  const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(m, m), 0xd8);
  return static_cast<uint32_t>(_mm256_movemask_epi8(bytes)) & 0xffffu;
#elif defined(__SSE2__)
  const __m128i m = bit_cast<__m128i>(mask);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(m, m))) & 0xffu;
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}

// Appends name(i) to events for every set bit i, eight at a time: how many there are is a branch
// that is seldom guessed wrong, while whether there is one more would be wrong for every word.
// Writes, but does not count, up to seven events more.
template <class Name>
LRNN_HD void list_bits(uint64_t bits, Name name, uint32_t* events, int& count) {
  const int end = count + __builtin_popcountll(bits);
  for (; count < end; count += 8) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i, bits &= bits - 1)
      events[count + i] = name(__builtin_ctzll(bits | uint64_t{1} << 63));
  }
  count = end;
}

}  // namespace lrnn::fixed_point::LRNN_ISA
