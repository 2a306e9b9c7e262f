// The backward pass of a step cell, a thread per lane. (step_chunks.cuh has it cut in time.)
//
// The backward pass reads what was saved of the states: y itself where that is the state; else
// saved values of every step; or, if args.interval is K > 0, only the states before every K-th
// step, from which K steps at a time are computed again. Those K steps go to a workspace in global
// memory, K rows per resident thread: registers cannot hold them, shared memory holds about 30
// steps of a full multiprocessor and K is the caller's choice; what a thread writes it soon reads
// back and overwrites, so as long as the workspace fits the L2 cache, which the plan sees to where
// it can, DRAM sees little of it.
#pragma once

#include "step.cuh"

namespace lrnn::LRNN_ISA {

// Steps per tile that a backward pass computes again, beside which it holds all that the way back
// needs.
template <class Io>
constexpr int again_tile() {
  return kLean<Io> ? 8 : 4;
}

// Parameters' gradients are added into double after every so-many-th step, counted from the first
// one in scan order.
inline constexpr int64_t kStepFlush = 64;

template <template <class> class CellOf, class Io>
struct StepBackward : StepPass<CellOf, Io, again_tile<Io>()> {
  using Pass = StepPass<CellOf, Io, again_tile<Io>()>;
  using Cell = typename Pass::Cell;
  using R = typename Pass::R;
  using Pass::args, Pass::cell, Pass::inputs, Pass::k, Pass::params;
  using Pass::load_inputs, Pass::load_states, Pass::save, Pass::step, Pass::time;
  using typename Pass::InputRaw, typename Pass::SavedIo, typename Pass::SavedRaw,
      typename Pass::States;
  static constexpr int kSaved = Pass::kSaved, kInputs = Pass::kInputs, kParams = Pass::kParams,
                       kStates = Pass::kStates;
  static constexpr int kChannels = Pass::kChannels, kSteps = kStepTile<Io, kInputs + 1 + kSaved>;

  struct Tile {
    InputRaw x[kSteps][kInputs], dy[kSteps];
    SavedRaw before[kSteps][kSaved];
    bool reset[kSteps];
  };

  // Where the saved values of steps from first on lie: in the caller's tensor, or in this thread's
  // part of the workspace.
  template <Read kRead_>
  struct InTensor {
    static constexpr Read kRead = kRead_;
    static constexpr int64_t first = 0;
    const StepBackward& pass;
    __device__ __forceinline__ SavedRaw load(int64_t step, int value) const {
      return pass.states.template load<kRead>(pass.args.states, pass.time(step), value);
    }
    // Brings what the tile of steps last, last - 1, ... will read into the L2 cache.
    __device__ __forceinline__ void fetch(int64_t last, int64_t lo) const {
#pragma unroll
      for (int s = 0; kLean<Io> && s < kSteps; ++s) {
        const int64_t step = last - s;
        if (step < lo) continue;
        for (int i = 0; Cell::kPullsInputs && i < kInputs; ++i)
          pass.inputs[i].fetch(pass.args.inputs[i], pass.time(step));
        pass.dy.fetch(pass.args.dy, pass.time(step));
        for (int i = 0; step > first && i < kSaved; ++i)
          pass.states.fetch(pass.args.states, pass.time(step - 1), i);
      }
    }
  };
  struct InWorkspace {
    static constexpr Read kRead = Read::kLast;  // of inputs and dy
    const SavedRaw* mine;                       // [step][value][thread]
    int64_t first;
    __device__ __forceinline__ SavedRaw load(int64_t step, int value) const {
      return mine[((step - first) * kSaved + value) *
                  static_cast<int64_t>(blockDim.x)];  // written by this kernel: no read-only load
    }
    __device__ __forceinline__ void fetch(int64_t, int64_t) const {}  // see fetch_interval
  };

  const Rows<Io, const void> dy;
  const Rows<SavedIo, const void> states;
  const Rows<Io, void> dinputs[kMaxStreams];
  const int64_t slot;  // of partial sums
  Values<Io> dparams[kParams];
  States adjoint;

  __device__ __forceinline__ StepBackward(const ScanArgs& args, const Share& share,
                                          const Cell& cell, int64_t lane)
      : Pass(args, share, cell, lane),
        dy(args.dy, k),
        states(args.states, k, !Pass::kReadsOutput),
        dinputs{{args.dinputs[0], k}, {args.dinputs[1], k}, {args.dinputs[2], k}},
        slot(k.b * gridDim.y + blockIdx.y) {
    clear();
    load_states(args.dh_last, adjoint);
  }

  __device__ __forceinline__ void clear() {
    for (auto& values : dparams)
      for (int c = 0; c < kChannels; ++c) values.v[c] = R(0);
  }

  // What was saved of states that were not: those before a sequence and after a reset.
  __device__ __forceinline__ void saved_of(const Input& x, SavedRaw* saved) const {
    States given;
    load_states(x, given);
    save(given, saved);
  }

  // The steps last, last - 1, ... of a tile, none before lo.
  template <class Where>
  __device__ __forceinline__ Tile load(const Where& where, int64_t last, int64_t lo) const {
    Tile tile;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      tile.reset[s] = false;
      const int64_t step = last - s;
      if (step < lo) continue;
      const int64_t t = time(step);
      for (int i = 0; i < kInputs; ++i)
        tile.x[s][i] = inputs[i].template load<Where::kRead>(args.inputs[i], t);
      tile.dy[s] = dy.template load<Where::kRead>(args.dy, t);
      if (step > where.first)
        for (int i = 0; i < kSaved; ++i) tile.before[s][i] = where.load(step - 1, i);
      tile.reset[s] = is_reset(args, k, t);
    }
    return tile;
  }

  // Walks the steps [lo, hi) back; edge holds the states before the first one that where knows.
  // Calls each(tile, s, step, before, after).
  template <class Where, class Each>
  __device__ __forceinline__ void walk(const Where& where, int64_t lo, int64_t hi,
                                       const Input& edge, const Each& each) const {
    SavedRaw after[kSaved];
    for (int i = 0; i < kSaved; ++i) after[i] = where.load(hi - 1, i);
    Tile tile = load(where, hi - 1, lo);
    for (int64_t last = hi - 1; last >= lo; last -= kSteps) {
      const Tile next = load(where, last - kSteps, lo);
      where.fetch(last - kSteps - kStepsAhead, lo);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const int64_t step = last - s;
        if (step < lo) continue;
        SavedRaw before[kSaved];
        for (int i = 0; i < kSaved; ++i) before[i] = tile.before[s][i];
        if (tile.reset[s])
          saved_of(args.h_reset, before);
        else if (step == where.first)
          saved_of(edge, before);
        each(tile, s, step, before, after);
        for (int i = 0; i < kSaved; ++i) after[i] = tile.before[s][i];
      }
      tile = next;
    }
  }

  // What the pullback of a step reads, of one channel.
  struct At {
    R x[kInputs], p[kParams], old[kSaved], now[kSaved], gates[Pass::kGates];

    __device__ __forceinline__ At(const StepBackward& pass, const Tile& tile, int s,
                                  const SavedRaw* before, const SavedRaw* after, int c) {
      for (int i = 0; i < kInputs; ++i) x[i] = Io::get(tile.x[s][i], c);
      for (int i = 0; i < kParams; ++i) p[i] = pass.params[i].v[c];
      for (int i = 0; i < kSaved; ++i) {
        old[i] = SavedIo::get(before[i], c);
        now[i] = SavedIo::get(after[i], c);
      }
      // Computed again also where the step was: through L2, a gate costs more than its few
      // operations.
      if constexpr (Cell::kGates > 0) pass.cell.gates(old, gates);
    }
  };

  __device__ __forceinline__ void pull(const Tile& tile, int s, int64_t step,
                                       const SavedRaw* before, const SavedRaw* after) {
    Values<Io> dx[kInputs];
    for (int c = 0; c < kChannels; ++c) {
      const At at(*this, tile, s, before, after, c);
      R d[kStates], dinput[kInputs], dparam[kParams];
      for (int i = 0; i < kStates; ++i) d[i] = adjoint[i].v[c];
      cell.pullback(at.x, at.p, at.old, at.now, at.gates, Io::get(tile.dy[s], c), d, dinput,
                    dparam);
      for (int i = 0; i < kStates; ++i) adjoint[i].v[c] = d[i];
      for (int i = 0; i < kInputs; ++i) dx[i].v[c] = dinput[i];
      for (int i = 0; i < kParams; ++i) dparams[i].v[c] += dparam[i];
    }
    for (int i = 0; i < kInputs; ++i) dinputs[i].store(args.dinputs[i], time(step), dx[i].v);
    if (tile.reset[s])
      for (int i = 0; i < kStates; ++i) {
        if (args.dreset)
          add_to<Io>(args.dreset + (slot * kStates + i) * args.C, args.C, k, adjoint[i].v);
        for (int c = 0; c < kChannels; ++c) adjoint[i].v[c] = R(0);
      }
    if (step % kStepFlush == 0) flush();
  }

  __device__ __forceinline__ void flush() {
    for (int i = 0; i < kParams; ++i)
      add_to<Io>(args.dparams + (slot * kParams + i) * args.C, args.C, k, dparams[i].v);
    clear();
  }

  // The states before an interval; a row of them lies as h0 does.
  __device__ __forceinline__ Input checkpoint(int64_t interval) const {
    Input row = args.states;
    row.data = static_cast<const R*>(row.data) + interval * row.stride_t;
    return row;
  }

  // Computes the steps [lo, hi) again, from the states at edge, and keeps what is saved of them.
  __device__ __forceinline__ void again(const Input& edge, int64_t lo, int64_t hi,
                                        SavedRaw* mine) const {
    States now;
    load_states(edge, now);
    auto tile = load_inputs(lo, hi);
    for (int64_t first = lo; first < hi; first += Pass::kInputSteps) {
      const auto next = load_inputs(first + Pass::kInputSteps, hi);
      fetch_interval(first, hi);
#pragma unroll
      for (int s = 0; s < Pass::kInputSteps; ++s) {
        if (first + s >= hi) continue;
        if (tile.reset[s]) load_states(args.h_reset, now);
        Values<Io> out;
        SavedRaw saved[kSaved];
        step(tile.x[s], now, out.v, saved);
        for (int i = 0; i < kSaved; ++i)
          mine[((first + s - lo) * kSaved + i) * static_cast<int64_t>(blockDim.x)] = saved[i];
      }
      tile = next;
    }
  }

  // What the steps of a tile will want an interval later, when the lane is at the one before: their
  // inputs, to run them again, and dy, to pull them back. The walk back in between is longer than
  // DRAM takes.
  __device__ __forceinline__ void fetch_interval(int64_t first, int64_t hi) const {
    const int64_t before = first - args.interval, end = hi - args.interval;
    if (!kLean<Io> || before < 0) return;
    Pass::fetch_inputs(before, end);
#pragma unroll
    for (int s = 0; s < Pass::kInputSteps; ++s)
      if (before + s < end) dy.fetch(args.dy, time(before + s));
  }

  __device__ __forceinline__ void finish() const {
    for (int i = 0; i < kStates; ++i)
      store_boundary<Io>(state_plane<Io>(args.dh0, i), k, adjoint[i]);
  }
};

template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_backward(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                  const __grid_constant__ CellOf<typename Io::R> cell) {
  using Pass = StepBackward<CellOf, Io>;
  Pass pass(args, share, cell, lane_of_thread());
  if (args.T > 0)
    pass.walk(typename Pass::template InTensor<Read::kLast>{pass}, 0, args.T, args.h0,
              [&](const auto&... step) { pass.pull(step...); });
  pass.finish();
}

// From checkpoints. A grid may be smaller than the lanes are many, to keep the workspace small: its
// blocks then take several in turn.
template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_backward_again(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                        const __grid_constant__ CellOf<typename Io::R> cell, void* workspace) {
  using Pass = StepBackward<CellOf, Io>;
  const int64_t K = args.interval < args.T ? args.interval : args.T;
  auto* const mine = static_cast<typename Pass::SavedRaw*>(workspace) +
                     blockIdx.x * K * Pass::kSaved * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  for (int64_t lane = lane_of_thread(); lane < share.lanes;
       lane += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    Pass pass(args, share, cell, lane);
    for (int64_t lo = args.T > 0 ? (args.T - 1) / K * K : -1; lo >= 0; lo -= K) {
      const int64_t hi = lo + K < args.T ? lo + K : args.T;
      const Input edge = pass.checkpoint(lo / K);
      if (lo > 0) pass.fetch_states(pass.checkpoint(lo / K - 1));
      pass.again(edge, lo, hi, mine);
      pass.walk(typename Pass::InWorkspace{mine, lo}, lo, hi, edge,
                [&](const auto&... step) { pass.pull(step...); });
    }
    pass.finish();
  }
}

}  // namespace lrnn::LRNN_ISA
