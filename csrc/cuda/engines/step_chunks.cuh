// The backward pass of a step cell cut into chunks of time, where lanes are few and the values of
// every step were saved.
//
// A step is not linear, but what its pullback does to the adjoints is. So step_summarize finds the
// affine map of every chunk, from the cell's own pullback of unit adjoints, and
// step_backward_chunks runs the ordinary backward pass of every chunk, from what the maps of those
// before it make of dh_last. Every chunk applies these maps by itself, one after another: that is
// less than a launch, it never multiplies two maps, whose numbers grow where gradients do, and it
// rounds alike in all chunks.
#pragma once

#include "step_backward.cuh"

namespace lrnn::LRNN_ISA {

// What a chunk makes of the adjoints that enter it, carried -> scale carried + offset, as it lies
// in the workspace: a row of all lanes for each number, scales by the state of the adjoint that
// leaves, then of the one that enters.
template <class R, int kCarried>
struct AdjointMap {
  static constexpr int kNumbers = kCarried * (kCarried + 1);
  static constexpr int kAtOnce =
      kCarried > 1
          ? 4
          : 16;  // maps that are read at once: one after another, each would wait for the L2 cache
  R scale[kCarried][kCarried], offset[kCarried];

  __device__ __forceinline__ static R* row(const Share& share, int64_t chunk, int64_t lane) {
    return static_cast<R*>(share.maps) + chunk * kNumbers * share.lanes + lane;
  }
  __device__ __forceinline__ void load(const R* row, int64_t lanes) {
    for (int i = 0; i < kCarried; ++i) {
      for (int j = 0; j < kCarried; ++j) scale[i][j] = row[(i * kCarried + j) * lanes];
      offset[i] = row[(kCarried * kCarried + i) * lanes];
    }
  }
  __device__ __forceinline__ void store(R* row, int64_t lanes) const {
    for (int i = 0; i < kCarried; ++i) {
      for (int j = 0; j < kCarried; ++j) row[(i * kCarried + j) * lanes] = scale[i][j];
      row[(kCarried * kCarried + i) * lanes] = offset[i];
    }
  }
  // A scale of 0 drops an adjoint, infinite or not: a reset is in between. And 0 stays 0, though a
  // scale has overflowed.
  __device__ __forceinline__ void apply(R* carried) const {
    R after[kCarried];
    for (int i = 0; i < kCarried; ++i) {
      after[i] = offset[i];
      for (int j = 0; j < kCarried; ++j)
        if (scale[i][j] != R(0) && carried[j] != R(0)) after[i] += scale[i][j] * carried[j];
    }
    for (int i = 0; i < kCarried; ++i) carried[i] = after[i];
  }
};

// A chunk of a lane of one channel. Positions count from the end of the sequence, as the adjoints
// travel: chunk 0 is entered by dh_last.
template <template <class> class CellOf, class Io>
struct StepChunk : StepBackward<CellOf, Io> {
  using Pass = StepBackward<CellOf, Io>;
  using R = typename Pass::R;
  using Pass::adjoint, Pass::args, Pass::cell, Pass::k;
  static constexpr int kStates = Pass::kStates, kCarried = Pass::Cell::kCarried;
  using Map = AdjointMap<R, kCarried>;
  static_assert(Pass::kChannels == 1);

  __device__ __forceinline__ StepChunk(const ScanArgs& args, const Share& share,
                                       const typename Pass::Cell& cell, int64_t lane)
      : Pass(args, share, cell, lane) {
    if (blockIdx.y > 0)
      for (auto& values : adjoint) values.v[0] = R(0);
  }

  template <Read kRead, class Each>
  __device__ __forceinline__ void walk(const Each& each) const {
    Pass::walk(typename Pass::template InTensor<kRead>{*this}, args.T - k.end, args.T - k.begin,
               args.h0, each);
  }

  // The map of the chunk. Its offset is what enters and is given with dy, pulled back; its scales,
  // unit adjoints pulled back.
  __device__ __forceinline__ Map summarize() {
    R unit[kCarried][kStates] = {};
    for (int j = 0; j < kCarried; ++j) unit[j][j] = R(1);
    walk<Read::kFirst>([&](const typename Pass::Tile& tile, int s, int64_t, const auto* before,
                           const auto* after) {
      const typename Pass::At at(*this, tile, s, before, after, 0);
      R d[kStates], dinput[Pass::kInputs], dparam[Pass::kParams];
      for (int i = 0; i < kStates; ++i) d[i] = adjoint[i].v[0];
      cell.pullback(at.x, at.p, at.old, at.now, at.gates, Io::get(tile.dy[s], 0), d, dinput,
                    dparam);
      for (int i = 0; i < kStates; ++i) adjoint[i].v[0] = tile.reset[s] ? R(0) : d[i];
      for (auto& column : unit) {
        cell.pullback(at.x, at.p, at.old, at.now, at.gates, R(0), column, dinput, dparam);
        for (R& number : column) number = tile.reset[s] ? R(0) : number;
      }
    });
    Map map;
    for (int i = 0; i < kCarried; ++i) {
      for (int j = 0; j < kCarried; ++j) map.scale[i][j] = unit[j][i];
      map.offset[i] = adjoint[i].v[0];
    }
    return map;
  }

  // The adjoints that enter this chunk: the maps of those before it, in order.
  __device__ __forceinline__ void enter(const Share& share) {
    constexpr int kAtOnce = Map::kAtOnce;
    const int64_t lane = k.count ? k.lane : 0;
    R carried[kCarried] = {};
    for (int64_t first = 0; first < blockIdx.y; first += kAtOnce) {
      Map maps[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        if (first + i < blockIdx.y) maps[i].load(Map::row(share, first + i, lane), share.lanes);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        if (first + i < blockIdx.y) maps[i].apply(carried);
    }
    if (blockIdx.y > 0)
      for (int i = 0; i < kCarried; ++i) adjoint[i].v[0] = carried[i];
  }
};

// The maps of all chunks but the last, which are in the grid.
template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_summarize(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                   const __grid_constant__ CellOf<typename Io::R> cell) {
  StepChunk<CellOf, Io> chunk(args, share, cell, lane_of_thread());
  const auto map = chunk.summarize();
  if (chunk.k.count) map.store(map.row(share, blockIdx.y, chunk.k.lane), share.lanes);
}

// step_backward in chunks, whose maps are known.
template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_backward_chunks(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                         const __grid_constant__ CellOf<typename Io::R> cell) {
  StepChunk<CellOf, Io> chunk(args, share, cell, lane_of_thread());
  chunk.enter(share);
  chunk.template walk<Read::kLast>([&](const auto&... step) { chunk.pull(step...); });
  chunk.flush();
  if (chunk.k.end == args.T) chunk.finish();
}

}  // namespace lrnn::LRNN_ISA
