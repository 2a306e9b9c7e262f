// The matrix engine: all of a matrix cell's time in one launch, its matrices in registers, read
// once. Here what its passes share: a thread's part of the products, and how vectors go round.
//
// A matrix product a step through a library would cost a launch or two a step, some 5 us, and read
// the matrices from L2 each time. Here a block holds up to 128 KiB of them (matrix_slice): all
// blocks of (C,C) of narrow cells, two up to 128 channels of float, and the state goes round in
// shared memory. Wider ones are cut by channels over the blocks of a group, which tell one another
// their channels of the state once a step, see exchange.cuh: for 256 channels of float 4 blocks of
// 64 where there are two matrices, 8 of 32 where there are three or four. All blocks of a launch
// must then run at a time, so groups take batch elements in turn; up to 4 elements at a time, which
// share the way through L2. Of a cell with late terms a second vector goes round a step.
//
// What else was weighed, for 256 channels of float and two matrices, 512 KiB: one block can hold
// 128 KiB in registers and 160 KiB in shared memory (sm_80) and must read the rest, 224 KiB, from
// L2 every step: 2.1 us at 60 bytes a cycle, and nearer 5 where all multiprocessors ask at a time.
// Four blocks should take about 0.9 us a step for one batch element, 1.5 us for four. Clusters and
// their distributed shared memory might save 0.3 us of either, from sm_90 on. 16-bit inputs change
// nothing: the matrices stay float.
//
// Nothing is added across batch elements, so the matrices' gradients are left to products over all
// of time: (gradients of terms)' (what they multiplied), both of which are in memory. Sums are
// taken in the same order wherever an element is.
#pragma once

#include "../../cells/matrix_cell.h"
#include "../kernels.h"
#include "../lanes/exchange.cuh"
#include "../lanes/streams.cuh"

namespace lrnn::LRNN_ISA {

// The size of an array that may be empty.
template <int kCount>
inline constexpr int kSome = kCount > 0 ? kCount : 1;

// The vectors of a cell that go round at a time, at most: backward, the gradients of terms.
template <class Cell>
inline constexpr int kGradientVectors =
    Cell::kTerms - Cell::kLate > Cell::kLate ? Cell::kTerms - Cell::kLate : Cell::kLate;

// How blocks hold the matrices of a cell, of kC channels in all.
template <class Cell, class R, int kC>
struct MatrixShape {
  static constexpr int kTerms = Cell::kTerms;
  static constexpr int kSlice = matrix_slice(kTerms, kC, sizeof(R));  // channels per block
  static constexpr bool kShared = kSlice < kC;                        // by the blocks of a group
  // Batch elements at a time.
  static constexpr int kElements = kShared ? matrix_elements(kGradientVectors<Cell>, sizeof(R)) : 1;
  // A thread holds a part of the rows of a few channels. Of wide rows a warp reads 512 bytes of the
  // state side by side, for four channels at once, or for two, where a slice is so narrow that a
  // thread would hold too much; of narrow ones it reads 64 bytes, the same for each of its
  // channels. Neither meets a bank twice.
  static constexpr int kRows = !kShared ? 1 : kSlice < 32 ? 2 : 4, kParts = kShared ? 32 : 4;
  static constexpr int kThreads = kSlice / kRows * kParts;
  static constexpr int kPieces =
      kC / (kParts * Scalars<R>::kCount);  // of 16 bytes, per thread, row and matrix
  // Steps whose streams are loaded before their use; fewer where the matrices leave no registers,
  // and steps take longer, of cells with late terms twice as long.
  static constexpr int kBytes = kTerms * kC * kC * int{sizeof(R)};
  static constexpr int kStepsAhead = kShared ? 1 : kBytes <= 64 << 10 ? 4 : Cell::kLate > 0 ? 1 : 2;
};

// A thread's part of the work. Forward, one vector goes round at a time, the state or what the late
// terms multiply, and is multiplied with all its matrices; backward, the gradients of those terms
// do, each is multiplied with its matrix, transposed, and the products are added.
template <class Cell_, class S_, class R_, int kC, bool kForward>
struct MatrixThread {
  using Cell = Cell_;
  using S = S_;
  using R = R_;
  using Shape = MatrixShape<Cell, R, kC>;
  using Piece = Scalars<R>;
  static constexpr int kTerms = Cell::kTerms, kEarly = kTerms - Cell::kLate;
  static constexpr int kVectors = kForward ? 1 : kGradientVectors<Cell>;  // at a time, at most
  static constexpr int kRows = Shape::kRows, kParts = Shape::kParts, kPieces = Shape::kPieces,
                       kElements = Shape::kElements;
  using Vectors = Board<R, kElements * kVectors * kC>;

  const ScanArgs& args;
  const GpuMatrixLayout& layout;
  Vectors* const shared;  // two
  uint64_t* const words;  // of the group, two sets
  const int part, first_channel;
  // Of all batch elements and channels that a warp's sums are for, a thread carries the states of
  // one; so do others, and one of them owns it.
  const int channel, element;
  const bool owns;
  int64_t b = 0;
  int elements = 0;    // that the group is at
  bool works = false;  // not so for channels and elements that only fill the block
  uint32_t tag = 0;    // of what goes round
  R p[kSome<Cell::kParams>];
  Piece w[kTerms][kRows][kPieces];

  __device__ __forceinline__ MatrixThread(const ScanArgs& args, const GpuMatrices& matrices,
                                          const GpuMatrixLayout& layout, void* words,
                                          Vectors* shared)
      : args(args),
        layout(layout),
        shared(shared),
        words(static_cast<uint64_t*>(words) + blockIdx.x / layout.blocks * 2 * Vectors::kWords),
        part(threadIdx.x % kParts),
        first_channel(blockIdx.x % layout.blocks * Shape::kSlice + threadIdx.x / kParts * kRows),
        channel(first_channel + part / 2 % kRows),
        element(part / (2 * kRows) % kElements),
        owns(part % 2 == 0 && part < 2 * kRows * kElements) {
    for (int i = 0; i < Cell::kParams; ++i)
      p[i] = channel < args.C ? static_cast<const R*>(args.params[i].data)[channel] : R(0);
    // Offsets of 32 bits: those of 64 would take more registers here than the products do.
    const int C = static_cast<int>(args.C), first_other = part * Piece::kCount;
#pragma unroll
    for (int term = 0; term < kTerms; ++term)
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const int mine = first_channel + row;
        const R* const from = static_cast<const R*>(matrices.blocks[term]) +
                              (kForward ? mine * C + first_other : first_other * C + mine);
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece)
#pragma unroll
          for (int i = 0; i < Piece::kCount; ++i) {
            const int further = piece * kParts * Piece::kCount + i;
            w[term][row][piece].s[i] = mine < C && first_other + further < C
                                           ? from[kForward ? further : further * C]
                                           : R(0);
          }
      }
  }

  // Calls walk() for all batch elements of the group, as many at a time as the layout says.
  template <class Walk>
  __device__ __forceinline__ void each(const Walk& walk) {
    const int64_t stride = layout.groups * layout.elements;
    for (int64_t first = blockIdx.x / layout.blocks * layout.elements; first < args.B;
         first += stride) {
      elements =
          static_cast<int>(args.B - first < layout.elements ? args.B - first : layout.elements);
      b = first + element;
      works = element < elements && channel < args.C;
      walk();
    }
  }

  __device__ __forceinline__ int64_t time(int64_t step) const {
    return args.reverse ? args.T - 1 - step : step;
  }
  __device__ __forceinline__ bool is_reset(int64_t t) const {
    return works && args.reset.data &&
           args.reset.data[b * args.reset.stride_b + t * args.reset.stride_t];
  }

  // This thread's number of a stream, of a plane of it, or of a state.
  template <class T>
  __device__ __forceinline__ R get(const Input& x, int64_t t, int plane = 0) const {
    return works ? widen(static_cast<const T*>(
                       x.data)[b * x.stride_b + t * x.stride_t + plane * x.plane + channel])
                 : R(0);
  }
  template <class T>
  __device__ __forceinline__ void put(const Output& x, int64_t t, R value, int plane = 0) const {
    if (works && owns)
      narrow(value,
             static_cast<T*>(x.data)[b * x.stride_b + t * x.stride_t + plane * x.plane + channel]);
  }
  // All of its states; zero where there are none.
  __device__ __forceinline__ void get_states(const Input& x, R* states) const {
    for (int i = 0; i < Cell::kStates; ++i) states[i] = x.data ? get<R>(x, 0, i) : R(0);
  }
  __device__ __forceinline__ void put_states(const Output& x, const R* states) const {
    for (int i = 0; i < Cell::kStates; ++i) put<R>(x, 0, states[i], i);
  }

  __device__ __forceinline__ uint64_t* set() const { return words + tag % 2 * Vectors::kWords; }

  // Sends this thread's numbers of the next kCount vectors round. What is told must be heard.
  template <int kCount>
  __device__ __forceinline__ void tell(const R* values) {
    ++tag;
    for (int vector = 0; vector < kCount; ++vector) {
      const int number = (element * kCount + vector) * kC + channel;
      if constexpr (!Shape::kShared) {
        if (owns) shared[tag % 2].put(number, values[vector]);
      } else if (works && owns) {
        post(set(), number, values[vector], tag);
      }
    }
  }
  // Waits until all numbers of these vectors are there.
  template <int kCount>
  __device__ __forceinline__ void hear() {
    if constexpr (Shape::kShared) {
      constexpr int kNumberWords = kWordsOf<R>;
      collect(shared[tag % 2], set(), elements * kCount, kC * kNumberWords,
              static_cast<int>(args.C) * kNumberWords, tag);
    }
    __syncthreads();
  }

  // What blocks [kFirst, kFirst + kCount) make of what went round, at this thread's channel and
  // element: forward the product of each with the one vector, backward the sum of the products of
  // each, transposed, with its vector.
  template <int kFirst, int kCount>
  __device__ __forceinline__ void multiply(R* results) const {
    constexpr int kHeard = kForward ? 1 : kCount, kResults = kForward ? kCount : 1;
    constexpr int kChains =
        kRows == 1 ? Piece::kCount : 1;  // of additions that wait for one another, of a row
    R of_elements[kResults][kElements];
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
#pragma unroll
      for (int result = 0; result < kResults; ++result) of_elements[result][e] = R(0);
      if (e >= elements) continue;
      R sums[kResults][kRows][kChains] = {};
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece)
#pragma unroll
        for (int vector = 0; vector < kHeard; ++vector) {
          const Piece x = shared[tag % 2].piece((e * kHeard + vector) * (kC / Piece::kCount) +
                                                piece * kParts + part);
#pragma unroll
          for (int result = 0; result < kResults; ++result)
#pragma unroll
            for (int row = 0; row < kRows; ++row)
#pragma unroll
              for (int i = 0; i < Piece::kCount; ++i)
                sums[result][row][i % kChains] +=
                    w[kFirst + vector + result][row][piece].s[i] * x.s[i];
        }
#pragma unroll
      for (int result = 0; result < kResults; ++result) {
        R rows[kRows];
        for (int row = 0; row < kRows; ++row) rows[row] = total(sums[result][row]);
        of_elements[result][e] = gathered<kRows, 2>(rows);
      }
    }
#pragma unroll
    for (int result = 0; result < kResults; ++result) {
      R sum = gathered<kElements, 2 * kRows>(of_elements[result]);
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      for (int distance = 2 * kRows * kElements; distance < kParts; distance *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      results[result] = sum;
    }
  }
};

}  // namespace lrnn::LRNN_ISA
