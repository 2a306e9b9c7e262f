// How numbers go round a block, and round the blocks of a group: through shared memory, and through
// words of global memory.
//
// A word holds 32 bits of a number and the tag of the round that they belong to, and is written and
// read as one. So whoever reads the tag has the number: nothing is fenced, and a round costs the
// way of one store and of one load through L2, some 0.5 us. Words are zero at first, tags are not.
// Two sets of words take turns, by the tag's last bit: a block tells a round's numbers only after
// it has heard all those of the round before, which its peers told after they had heard all those
// of the round before that, so nobody reads that set any more.
#pragma once

#include "values.cuh"

namespace lrnn::LRNN_ISA {

// 16 bytes of shared memory, of numbers of any kind.
using Bits = Scalars<uint32_t, 4>;

// How many words a number takes.
template <class R>
inline constexpr int kWordsOf = sizeof(R) / sizeof(uint32_t);

// Numbers in shared memory, read 16 bytes at a time.
template <class R, int kNumbers>
struct Board {
  static constexpr int kWords = kNumbers * kWordsOf<R>;
  Bits bits[kWords / 4];

  __device__ __forceinline__ uint32_t& word(int i) { return bits[i / 4].s[i % 4]; }
  __device__ __forceinline__ void put(int number, R value) {
    const auto halves = bit_cast<Scalars<uint32_t, kWordsOf<R>>>(value);
    for (int i = 0; i < kWordsOf<R>; ++i) word(number * kWordsOf<R> + i) = halves.s[i];
  }
  __device__ __forceinline__ Scalars<R> piece(int i) const { return bit_cast<Scalars<R>>(bits[i]); }
};

// To all blocks of the group.
template <class R>
__device__ __forceinline__ void post(uint64_t* words, int number, R value, uint32_t tag) {
  const auto halves = bit_cast<Scalars<uint32_t, kWordsOf<R>>>(value);
  for (int i = 0; i < kWordsOf<R>; ++i)
    __nv_atomic_store_n(words + number * kWordsOf<R> + i, uint64_t{tag} << 32 | halves.s[i],
                        __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE);
}

// Fills rows of a board with the first words of each, as they come, the block's threads side by
// side. A thread waits for several at a time. The rest of a row is zero.
template <class B>
__device__ __forceinline__ void collect(B& board, uint64_t* words, int rows, int row_words,
                                        int posted, uint32_t tag) {
  constexpr int kAtATime = 4;
  const int threads = blockDim.x;
  for (int first = threadIdx.x; first < rows * row_words; first += kAtATime * threads) {
    uint64_t found[kAtATime];
    bool waits;
    do {
      waits = false;
      for (int n = 0; n < kAtATime; ++n) {
        const int i = first + n * threads;
        found[n] =
            i < rows * row_words && i % row_words < posted
                ? __nv_atomic_load_n(words + i, __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE)
                : uint64_t{tag} << 32;
        waits |= found[n] >> 32 != tag;
      }
      if (waits) __nanosleep(0);
    } while (waits);
    for (int n = 0; n < kAtATime; ++n)
      if (const int i = first + n * threads; i < rows * row_words)
        board.word(i) = static_cast<uint32_t>(found[n]);
  }
}

// The sum of a few values, pair by pair.
template <class R, int kCount>
__device__ __forceinline__ R total(const R (&values)[kCount]) {
  R sums[kCount];
  for (int i = 0; i < kCount; ++i) sums[i] = values[i];
  for (int step = 1; step < kCount; step *= 2)
    for (int i = 0; i + step < kCount; i += 2 * step) sums[i] += sums[i + step];
  return sums[0];
}

// Of kCount values in every lane, the sum of one over lanes: of value (lane / kDistance) % kCount
// over the kCount lanes that lie kDistance apart. Half of the values go to the lane that wants them
// in every round.
template <int kCount, int kDistance, class R>
__device__ __forceinline__ R gathered(R* values) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    constexpr int kHalf = kCount / 2;
    const bool upper = threadIdx.x & (kHalf * kDistance);
    for (int i = 0; i < kHalf; ++i) {
      const R given = upper ? values[i] : values[i + kHalf],
              kept = upper ? values[i + kHalf] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffffu, given, kHalf * kDistance);
    }
    return gathered<kHalf, kDistance>(values);
  }
}

}  // namespace lrnn::LRNN_ISA
