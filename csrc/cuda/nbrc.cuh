// The nBRC: all of its time in one launch, a block per batch element, its matrices in the block's registers.
//
// A matrix product a step through a library would cost a launch or two a step, some 5 us, and read the matrices from L2 each time. Here
// they are read once: four threads share a channel, each with a quarter of its rows of both matrices, the state goes round in shared
// memory, and a step costs one barrier. So wide matrices do not fit: 128 channels of float, 64 of double. Nothing is added across batch
// elements, so the matrices' gradients are left to one product over all of time: (gate gradients)' (states before), both of which are in
// memory.
#pragma once

#include "../cells/brc.h"
#include "streams.cuh"

namespace lrnn::LRNN_ISA {

inline constexpr int kParts = 4;  // threads per channel, neighbours in a warp
// Steps whose streams are loaded before their use, an even number; fewer where the matrices leave no registers, and steps take longer.
template <int kC>
inline constexpr int kStepsAhead = kC < 128 ? 4 : 2;

// A vector of one number per channel, in shared memory.
template <class R, int kC>
using Shared = Scalars<R, kParts>[kC / kParts];

template <class S_, class R_, int kC>
struct Nbrc {
  using S = S_;
  using R = R_;
  static constexpr int kQuads = kC / (kParts * kParts);  // of numbers, per thread

  const ScanArgs& args;
  const int64_t b;
  const int channel, part;
  const bool works;  // not so for channels that only fill the block
  Scalars<R, kParts> w_a[kQuads], w_c[kQuads];

  // A row of both matrices per channel, or a column.
  __device__ __forceinline__ Nbrc(const ScanArgs& args, bool columns)
      : args(args), b(blockIdx.x), channel(threadIdx.x / kParts), part(threadIdx.x % kParts), works(channel < args.C) {
    for (int quad = 0; quad < kQuads; ++quad)
      for (int i = 0; i < kParts; ++i) {
        const int other = (quad * kParts + part) * kParts + i, row = columns ? other : channel, column = columns ? channel : other;
        const bool there = works && other < args.C;
        w_a[quad].s[i] = there ? static_cast<const R*>(args.params[0].data)[row * args.params[0].stride_t + column] : R(0);
        w_c[quad].s[i] = there ? static_cast<const R*>(args.params[1].data)[row * args.params[1].stride_t + column] : R(0);
      }
  }

  __device__ __forceinline__ int64_t time(int64_t step) const { return args.reverse ? args.T - 1 - step : step; }
  __device__ __forceinline__ bool is_reset(int64_t t) const {
    return args.reset.data && args.reset.data[b * args.reset.stride_b + t * args.reset.stride_t];
  }

  // This channel's number of a stream, of a plane of it, or of a state.
  template <class T>
  __device__ __forceinline__ R get(const Input& x, int64_t t, int plane = 0) const {
    return works ? widen(static_cast<const T*>(x.data)[b * x.stride_b + t * x.stride_t + plane * x.plane + channel]) : R(0);
  }
  template <class T>
  __device__ __forceinline__ void put(const Output& x, int64_t t, R value, int plane = 0) const {
    if (works && part == 0) narrow(value, static_cast<T*>(x.data)[b * x.stride_b + t * x.stride_t + plane * x.plane + channel]);
  }
  __device__ __forceinline__ R state(const Input& x) const { return x.data ? get<R>(x, 0) : R(0); }
  __device__ __forceinline__ void share(Shared<R, kC>& to, R value) const {
    if (part == 0) to[channel / kParts].s[channel % kParts] = value;
  }

  // This channel's element of the product of one of the matrices and a shared vector, in every one of its threads.
  __device__ __forceinline__ R product(const Scalars<R, kParts>* w, const Shared<R, kC>& x) const {
    Scalars<R, kParts> sums{};
    for (int quad = 0; quad < kQuads; ++quad) {
      const Scalars<R, kParts> some = x[quad * kParts + part];
      for (int i = 0; i < kParts; ++i) sums.s[i] += w[quad].s[i] * some.s[i];
    }
    R sum = (sums.s[0] + sums.s[1]) + (sums.s[2] + sums.s[3]);
    for (int distance = 1; distance < kParts; distance *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    return sum;
  }
};

template <class S, class R, int kC>
__global__ void __launch_bounds__(kC* kParts, 1) nbrc_forward(const __grid_constant__ ScanArgs args, const __grid_constant__ Brc<R> cell) {
  __shared__ Shared<R, kC> shared[2];
  const Nbrc<S, R, kC> k(args, false);
  constexpr int kAhead = kStepsAhead<kC>;
  struct Tile {
    R x[kAhead][3];
    bool reset[kAhead];
  };
  const auto load = [&](int64_t first) {
    Tile tile{};
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (first + s >= args.T) continue;
      const int64_t t = k.time(first + s);
      for (int i = 0; i < 3; ++i) tile.x[s][i] = k.template get<S>(args.inputs[i], t);
      tile.reset[s] = k.is_reset(t);
    }
    return tile;
  };
  R h = k.state(args.h0);
  k.share(shared[0], h);
  __syncthreads();
  Tile tile = load(0);
  for (int64_t first = 0; first < args.T; first += kAhead) {
    const Tile next = load(first + kAhead);
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (first + s >= args.T) continue;
      const int64_t t = k.time(first + s);
      if (tile.reset[s]) {  // of the whole block
        h = k.state(args.h_reset);
        k.share(shared[s % 2], h);
        __syncthreads();
      }
      R after, y, *const nothing = nullptr;
      const R none[2] = {};
      const R x[3] = {tile.x[s][0] + k.product(k.w_a, shared[s % 2]), tile.x[s][1] + k.product(k.w_c, shared[s % 2]), tile.x[s][2]};
      cell.step(x, none, &h, &after, y, nothing, nothing);
      k.template put<S>(args.y, t, y);
      if (args.saved.data) {
        k.template put<R>(args.saved, t, x[0], 0);
        k.template put<R>(args.saved, t, x[1], 1);
        k.template put<R>(args.saved, t, h, 2);
      }
      h = after;
      k.share(shared[1 - s % 2], h);
      __syncthreads();
    }
    tile = next;
  }
  k.template put<R>(args.h_last, 0, h);
}

template <class S, class R, int kC>
__global__ void __launch_bounds__(kC* kParts, 1) nbrc_backward(const __grid_constant__ ScanArgs args, const __grid_constant__ Brc<R> cell) {
  __shared__ Shared<R, kC> shared[2][2];
  const Nbrc<S, R, kC> k(args, true);
  constexpr int kAhead = kStepsAhead<kC>;
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
      cell.pullback(tile.x[s], none, &tile.before[s], &tile.before[s], nothing, tile.dy[s], &adjoint, dx, unused);
      for (int i = 0; i < 3; ++i) k.template put<S>(args.dinputs[i], t, dx[i]);
      for (int i = 0; i < 2; ++i) {
        if (args.saved.data) k.template put<R>(args.saved, t, dx[i], i);
        k.share(shared[s % 2][i], dx[i]);
      }
      __syncthreads();
      adjoint += k.product(k.w_a, shared[s % 2][0]) + k.product(k.w_c, shared[s % 2][1]);
      if (tile.reset[s]) {
        if (args.dreset && k.works && k.part == 0) args.dreset[k.b * args.C + k.channel] += adjoint;
        adjoint = R(0);
      }
    }
    tile = next;
  }
  k.template put<R>(args.dh0, 0, adjoint);
}

}  // namespace lrnn::LRNN_ISA
