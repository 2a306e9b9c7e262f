// How the threads of a block that share a lane, its groups, find the carry that enters each one's
// steps.
//
// Every group makes the affine map of its steps. Lanes divide a warp, so the maps of the groups in
// one warp are composed by shuffles, in log2 steps; those of the warps, at most eight, meet in
// shared memory, and every thread applies them to the carry in turn. The order of all compositions
// is fixed by the plan.
#pragma once

#include "../plan.h"
#include "values.cuh"

namespace lrnn::LRNN_ISA {

inline constexpr int kWarp = kGpuWarp, kWarps = kGpuThreads / kGpuWarp;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ int thread_of_block() { return threadIdx.y * blockDim.x + threadIdx.x; }

template <class R>
__device__ __forceinline__ R shuffled_up(R x, int distance) {
  return __shfl_up_sync(kAllLanes, x, distance);
}
template <class R>
__device__ __forceinline__ Complex<R> shuffled_up(Complex<R> x, int distance) {
  return {shuffled_up(x.re, distance), shuffled_up(x.im, distance)};
}
template <class Io>
__device__ __forceinline__ Map<Io> shuffled_up(const Map<Io>& map, int distance) {
  Map<Io> out;
  for (int i = 0; i < Io::kChannels; ++i) {
    out.scale[i] = shuffled_up(map.scale[i], distance);
    out.offset[i] = shuffled_up(map.offset[i], distance);
  }
  return out;
}

// The maps of whole warps, by warp and lane.
template <class Io>
using WarpMaps = Map<Io>[kWarps][kWarp];

// Composes map with those of the groups before it in this warp; the last group's is the warp's,
// written to totals. Returns the composition of those before only.
template <class Io>
__device__ __forceinline__ Map<Io> compose_in_warp(Map<Io> map, WarpMaps<Io>& totals) {
  const int thread = thread_of_block(), place = thread % kWarp, lanes = blockDim.x;
  for (int distance = lanes; distance < kWarp; distance *= 2) {
    const Map<Io> before = shuffled_up(map, distance);
    if (place >= distance) map = composed(before, map);
  }
  const Map<Io> before = shuffled_up(map, lanes % kWarp);
  if (place >= kWarp - lanes) totals[thread / kWarp][threadIdx.x] = map;
  return place >= lanes ? before : identity<Io>();
}

// The carry that enters this group's steps, whose map is given; carry moves from the start of the
// tile to its end.
template <class Io>
__device__ __forceinline__ Values<Io> enter(const Map<Io>& map, Values<Io>& carry) {
  __shared__ WarpMaps<Io> totals;
  const Map<Io> before = compose_in_warp<Io>(map, totals);
  __syncthreads();
  const int warps = blockDim.x * blockDim.y / kWarp, warp = thread_of_block() / kWarp;
  Values<Io> entering = carry;
  for (int w = 0; w < warps; ++w) {
    carry = applied(totals[w][threadIdx.x], carry);
    if (w + 1 == warp) entering = carry;
  }
  __syncthreads();  // before the next tile's totals
  return applied(before, entering);
}

// The map of all groups' steps.
template <class Io>
__device__ __forceinline__ Map<Io> total_map(const Map<Io>& map) {
  __shared__ WarpMaps<Io> totals;
  compose_in_warp<Io>(map, totals);
  __syncthreads();
  Map<Io> total = totals[0][threadIdx.x];
  for (int w = 1; w < static_cast<int>(blockDim.x * blockDim.y / kWarp); ++w)
    total = composed(total, totals[w][threadIdx.x]);
  return total;
}

}  // namespace lrnn::LRNN_ISA
