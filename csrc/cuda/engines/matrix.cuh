// The nBRC: all of its time in one launch, its matrices in registers, read once.
//
// A matrix product a step through a library would cost a launch or two a step, some 5 us, and read
// the matrices from L2 each time. Here a block holds 128 KiB of them: both matrices up to 128
// channels of float, 64 of double, and the state goes round in shared memory. Wider ones are cut by
// channels over the blocks of a group, 64 channels of float or 32 of double each, 4 or 8 blocks for
// 256, which tell one another their channels of the state once a step, see exchange.cuh. All blocks
// of a launch must then run at a time, so groups take batch elements in turn; up to 4 elements at a
// time, which share the way through L2.
//
// What else was weighed, for 256 channels of float, 512 KiB: one block can hold 128 KiB in
// registers and 160 KiB in shared memory (sm_80) and must read the rest, 224 KiB, from L2 every
// step: 2.1 us at 60 bytes a cycle, and nearer 5 where all multiprocessors ask at a time. Four
// blocks should take about 0.9 us a step for one batch element, 1.5 us for four. Clusters and their
// distributed shared memory might save 0.3 us of either, from sm_90 on. 16-bit inputs change
// nothing: the matrices stay float.
//
// Nothing is added across batch elements, so the matrices' gradients are left to one product over
// all of time: (gate gradients)' (states before), both of which are in memory. Sums are taken in
// the same order wherever an element is.
#pragma once

#include "../../cells/brc.h"
#include "../kernels.h"
#include "../lanes/exchange.cuh"
#include "../lanes/streams.cuh"

namespace lrnn::LRNN_ISA {

// How blocks hold both matrices of kC channels in all.
template <class R, int kC>
struct NbrcShape {
  static constexpr int kBytes = 2 * kC * kC * int{sizeof(R)}, kBlockBytes = 128 << 10;
  static constexpr bool kShared = kBytes > kBlockBytes;  // by the blocks of a group
  static constexpr int kSlice = kShared ? kC * kBlockBytes / kBytes : kC;  // channels per block
  static constexpr int kElements = kShared ? kGpuNbrcElements : 1;  // batch elements at a time
  // A thread holds a part of the rows of a few channels. Of wide rows a warp reads 512 bytes of the
  // state side by side, for four channels at once; of narrow ones it reads 64 bytes, the same for
  // each of its channels. Neither meets a bank twice.
  static constexpr int kRows = kShared ? 4 : 1, kParts = kShared ? 32 : 4;
  static constexpr int kThreads = kSlice / kRows * kParts;
  static constexpr int kPieces =
      kC / (kParts * Scalars<R>::kCount);  // of 16 bytes, per thread and row
  // Steps whose streams are loaded before their use; fewer where the matrices leave no registers,
  // and steps take longer.
  static constexpr int kStepsAhead = kShared ? 1 : kBytes < kBlockBytes ? 4 : 2;
};

// A thread's part of the work. Forward, one vector goes round a step, the state, and is multiplied
// with both matrices; backward, the gradients of both gates do, each is multiplied with its matrix,
// transposed, and the products are added.
template <class S_, class R_, int kC, bool kForward>
struct Nbrc {
  using S = S_;
  using R = R_;
  using Shape = NbrcShape<R, kC>;
  using Piece = Scalars<R>;
  static constexpr int kVectors = kForward ? 1 : 2, kResults = kForward ? 2 : 1;
  static constexpr int kRows = Shape::kRows, kParts = Shape::kParts, kPieces = Shape::kPieces,
                       kElements = Shape::kElements;
  using Vectors = Board<R, kElements * kVectors * kC>;

  const ScanArgs& args;
  const GpuNbrcLayout& layout;
  Vectors* const shared;  // two
  uint64_t* const words;  // of the group, two sets
  const int part, first_channel;
  // Of all batch elements and channels that a warp's sums are for, a thread carries the state of
  // one; so do others, and one of them owns it.
  const int channel, element;
  const bool owns;
  int64_t b = 0;
  int elements = 0;    // that the group is at
  bool works = false;  // not so for channels and elements that only fill the block
  uint32_t tag = 0;    // of what goes round
  Piece w[2][kRows][kPieces];

  __device__ __forceinline__ Nbrc(const ScanArgs& args, const GpuNbrcLayout& layout, void* words,
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
#pragma unroll
    for (int matrix = 0; matrix < 2; ++matrix)
#pragma unroll
      for (int row = 0; row < kRows; ++row)
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece)
#pragma unroll
          for (int i = 0; i < Piece::kCount; ++i) {
            const int mine = first_channel + row,
                      other = (piece * kParts + part) * Piece::kCount + i;
            w[matrix][row][piece].s[i] =
                mine < args.C && other < args.C ? weight(matrix, mine, other) : R(0);
          }
  }
  __device__ __forceinline__ R weight(int matrix, int64_t mine, int64_t other) const {
    const Input& x = args.params[matrix];
    return static_cast<const R*>(
        x.data)[kForward ? mine * x.stride_t + other : other * x.stride_t + mine];
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
  __device__ __forceinline__ R state(const Input& x) const { return x.data ? get<R>(x, 0) : R(0); }

  __device__ __forceinline__ uint64_t* set() const { return words + tag % 2 * Vectors::kWords; }

  // Sends this thread's numbers of the next vectors round. What is told must be heard.
  __device__ __forceinline__ void tell(const R (&values)[kVectors]) {
    ++tag;
    for (int vector = 0; vector < kVectors; ++vector) {
      const int number = (element * kVectors + vector) * kC + channel;
      if constexpr (!Shape::kShared) {
        if (owns) shared[tag % 2].put(number, values[vector]);
      } else if (works && owns) {
        post(set(), number, values[vector], tag);
      }
    }
  }
  // Waits until all numbers of these vectors are there.
  __device__ __forceinline__ void hear() {
    if constexpr (Shape::kShared) {
      constexpr int kNumberWords = kWordsOf<R>;
      collect(shared[tag % 2], set(), elements * kVectors, kC * kNumberWords,
              static_cast<int>(args.C) * kNumberWords, tag);
    }
    __syncthreads();
  }

  // W_a x and W_c x, or W_a' x_0 + W_c' x_1, at this thread's channel and element.
  __device__ __forceinline__ void multiply(R (&results)[kResults]) const {
    constexpr int kChains =
        kRows == 1 ? Piece::kCount : 1;  // of additions that wait for one another, of a row
    R of_elements[kResults][kElements];
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      for (int result = 0; result < kResults; ++result) of_elements[result][e] = R(0);
      if (e >= elements) continue;
      R sums[kResults][kRows][kChains] = {};
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece)
        for (int vector = 0; vector < kVectors; ++vector) {
          const Piece x = shared[tag % 2].piece((e * kVectors + vector) * (kC / Piece::kCount) +
                                                piece * kParts + part);
          for (int result = 0; result < kResults; ++result)
            for (int row = 0; row < kRows; ++row)
              for (int i = 0; i < Piece::kCount; ++i)
                sums[result][row][i % kChains] += w[vector + result][row][piece].s[i] * x.s[i];
        }
      for (int result = 0; result < kResults; ++result) {
        R rows[kRows];
        for (int row = 0; row < kRows; ++row) rows[row] = total(sums[result][row]);
        of_elements[result][e] = gathered<kRows, 2>(rows);
      }
    }
    for (int result = 0; result < kResults; ++result) {
      R sum = gathered<kElements, 2 * kRows>(of_elements[result]);
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      for (int distance = 2 * kRows * kElements; distance < kParts; distance *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      results[result] = sum;
    }
  }
};

template <class S, class R, int kC>
__global__ void __launch_bounds__(NbrcShape<R, kC>::kThreads, 1)
    nbrc_forward(const __grid_constant__ ScanArgs args, const __grid_constant__ Brc<R> cell,
                 const __grid_constant__ GpuNbrcLayout layout, void* words) {
  using Thread = Nbrc<S, R, kC, true>;
  __shared__ typename Thread::Vectors shared[2];
  Thread k(args, layout, words, shared);
  constexpr int kAhead = NbrcShape<R, kC>::kStepsAhead;
  struct Tile {
    R x[kAhead][3];
    bool reset[kAhead];  // of the step after
  };
  const auto load = [&](int64_t first) {
    Tile tile{};
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (first + s >= args.T) continue;
      for (int i = 0; i < 3; ++i)
        tile.x[s][i] = k.template get<S>(args.inputs[i], k.time(first + s));
      tile.reset[s] = first + s + 1 < args.T && k.is_reset(k.time(first + s + 1));
    }
    return tile;
  };
  k.each([&] {
    R h = k.state(args.T > 0 && k.is_reset(k.time(0)) ? args.h_reset : args.h0);
    if (args.T > 0) k.tell({h});
    Tile tile = load(0);
    for (int64_t first = 0; first < args.T; first += kAhead) {
      const Tile next = load(first + kAhead);
#pragma unroll
      for (int s = 0; s < kAhead; ++s) {
        if (first + s >= args.T) continue;
        const int64_t t = k.time(first + s);
        k.hear();
        R terms[2], after, y, *const nothing = nullptr;
        k.multiply(terms);
        const R none[2] = {};
        const R x[3] = {tile.x[s][0] + terms[0], tile.x[s][1] + terms[1], tile.x[s][2]};
        cell.step(x, none, &h, &after, y, nothing, nothing);
        const R before = h;
        h = tile.reset[s] ? k.state(args.h_reset) : after;
        if (first + s + 1 < args.T) k.tell({h});
        k.template put<S>(args.y, t, y);
        if (args.saved.data) {
          k.template put<R>(args.saved, t, x[0], 0);
          k.template put<R>(args.saved, t, x[1], 1);
          k.template put<R>(args.saved, t, before, 2);
        }
      }
      tile = next;
    }
    k.template put<R>(args.h_last, 0, h);
  });
}

template <class S, class R, int kC>
__global__ void __launch_bounds__(NbrcShape<R, kC>::kThreads, 1)
    nbrc_backward(const __grid_constant__ ScanArgs args, const __grid_constant__ Brc<R> cell,
                  const __grid_constant__ GpuNbrcLayout layout, void* words) {
  using Thread = Nbrc<S, R, kC, false>;
  __shared__ typename Thread::Vectors shared[2];
  Thread k(args, layout, words, shared);
  constexpr int kAhead = NbrcShape<R, kC>::kStepsAhead;
  struct Tile {
    R x[kAhead][3], before[kAhead], dy[kAhead];
    bool reset[kAhead];
  };
  const auto load = [&](int64_t last) {
    Tile tile{};
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (last - s < 0) continue;
      const int64_t t = k.time(last - s);
      for (int i = 0; i < 2; ++i) tile.x[s][i] = k.template get<R>(args.states, t, i);
      tile.x[s][2] = k.template get<S>(args.inputs[2], t);
      tile.before[s] = k.template get<R>(args.states, t, 2);
      tile.dy[s] = k.template get<S>(args.dy, t);
      tile.reset[s] = k.is_reset(t);
    }
    return tile;
  };
  k.each([&] {
    R adjoint = k.state(args.dh_last);
    Tile tile = load(args.T - 1);
    for (int64_t last = args.T - 1; last >= 0; last -= kAhead) {
      const Tile next = load(last - kAhead);
#pragma unroll
      for (int s = 0; s < kAhead; ++s) {
        if (last - s < 0) continue;
        const int64_t t = k.time(last - s);
        R dx[3], unused[2], *const nothing = nullptr;
        const R none[2] = {};
        cell.pullback(tile.x[s], none, &tile.before[s], &tile.before[s], nothing, tile.dy[s],
                      &adjoint, dx, unused);
        k.tell({dx[0], dx[1]});
        for (int i = 0; i < 3; ++i) k.template put<S>(args.dinputs[i], t, dx[i]);
        if (args.saved.data)
          for (int i = 0; i < 2; ++i) k.template put<R>(args.saved, t, dx[i], i);
        k.hear();
        R terms[1];
        k.multiply(terms);
        adjoint += terms[0];
        if (tile.reset[s]) {
          if (args.dreset && k.works && k.owns) args.dreset[k.b * args.C + k.channel] += adjoint;
          adjoint = R(0);
        }
      }
      tile = next;
    }
    k.template put<R>(args.dh0, 0, adjoint);
  });
}

}  // namespace lrnn::LRNN_ISA
