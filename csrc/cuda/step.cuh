// The step engine: forward and backward of any step cell, a thread per lane, which walks all of the time.
//
// A tile of inputs is loaded ahead of its use, as in the affine engine, so that steps wait for one another only. What limits a step cell is
// the chain of operations of a step where lanes are few, and arithmetic where they are many; so a lane is one channel where that makes
// more threads to overlap, and the channels of a 16-byte register of the carry where there are enough (plan.cpp).
//
// The backward pass reads what was saved of the states: y itself where that is the state; else saved values of every step; or, if
// args.interval is K > 0, only the states before every K-th step, from which K steps at a time are computed again. Those K steps go to a
// workspace in global memory, K rows per resident thread: registers cannot hold them, shared memory holds about 30 steps of a full
// multiprocessor and K is the caller's choice; what a thread writes it soon reads back and overwrites, so as long as the workspace fits
// the L2 cache, which the plan sees to where it can, DRAM sees little of it.
#pragma once

#include "../cells/step.h"
#include "streams.cuh"

namespace lrnn::LRNN_ISA {

// Steps per tile. One channel: about sixteen loads in flight per thread, since a step takes some 50 ns and DRAM ten times that. Several: a
// tile must fit into the registers twice, beside the states and adjoints of all channels.
template <class Io>
constexpr int step_tile(int accesses) {
  const int at_once = Io::kChannels == 1 ? 16 : 8;
  int steps = 1;
  while (2 * steps * accesses <= at_once && steps < 8) steps *= 2;
  return steps;
}

// Steps per tile that a backward pass computes again: fewer, for beside them it holds all that the way back needs.
inline constexpr int kAgainSteps = 4;

// Parameters' gradients are added into double after every so-many-th step, counted from the first one in scan order.
inline constexpr int64_t kStepFlush = 64;

// A state's plane of h0, h_reset, h_last and their like.
template <class Io, class Void>
__device__ __forceinline__ Stream<Void> state_plane(const Stream<Void>& x, int state) {
  Stream<Void> plane = x;
  using R = typename Io::R;
  using Pointer = std::conditional_t<std::is_const_v<Void>, const R*, R*>;
  if (x.data) plane.data = static_cast<Pointer>(x.data) + state * x.plane;
  return plane;
}

template <template <class> class CellOf, class Io_, int kInputSteps_>
struct StepPass {
  using Io = Io_;
  using R = typename Io::R;
  using Cell = CellOf<R>;
  static constexpr int kChannels = Io::kChannels, kInputs = Cell::kInputs, kParams = Cell::kParams, kStates = Cell::kStates;
  static constexpr bool kReadsOutput = Cell::kSaved == 0;
  static constexpr int kSaved = kReadsOutput ? 1 : Cell::kSaved, kGates = Cell::kGates > 0 ? Cell::kGates : 1;
  using StateIo = Real<R, R, kChannels>;
  using SavedIo = std::conditional_t<kReadsOutput, Io, StateIo>;
  using InputRaw = Raw<1, typename Io::Word>;
  using SavedRaw = Raw<1, typename SavedIo::Word>;
  using States = Values<Io>[kStates];
  static constexpr int kInputSteps = kInputSteps_;

  // The inputs of some steps, and whether each comes after a reset.
  struct InputTile {
    InputRaw x[kInputSteps][kInputs];
    bool reset[kInputSteps];
  };

  const ScanArgs& args;
  const Cell& cell;
  const Place k;
  const Rows<Io, const void> inputs[kMaxStreams];
  Values<Io> params[kParams];

  __device__ __forceinline__ StepPass(const ScanArgs& args, const Share& share, const Cell& cell, int64_t lane)
      : args(args), cell(cell), k(args, share, kChannels, lane), inputs{{args.inputs[0], k}, {args.inputs[1], k}, {args.inputs[2], k}} {
    for (int i = 0; i < kParams; ++i) params[i] = load_ends<Io>(args.params[i], k);
  }

  // The time of a step in scan order.
  __device__ __forceinline__ int64_t time(int64_t step) const { return args.reverse ? args.T - 1 - step : step; }

  __device__ __forceinline__ void load_states(const Input& x, States& states) const {
    for (int i = 0; i < kStates; ++i) states[i] = load_ends<Io>(state_plane<Io>(x, i), k);
  }

  // The tile of steps from first on that come before end.
  __device__ __forceinline__ InputTile load_inputs(int64_t first, int64_t end) const {
    InputTile tile;
#pragma unroll
    for (int s = 0; s < kInputSteps; ++s) {
      tile.reset[s] = false;
      if (first + s >= end) continue;
      const int64_t t = time(first + s);
      for (int i = 0; i < kInputs; ++i) tile.x[s][i] = inputs[i].load(args.inputs[i], t);
      tile.reset[s] = is_reset(args, k, t);
    }
    return tile;
  }

  // Takes the states one step further; y gets the output, and saved what the backward pass reads, packed as it is stored.
  __device__ __forceinline__ void step(const InputRaw* x, States& states, R* y, SavedRaw* saved) const {
    R values[kSaved][kChannels];
    for (int c = 0; c < kChannels; ++c) {
      R in[kInputs], p[kParams], before[kStates], after[kStates], value[kSaved], gates[kGates];
      for (int i = 0; i < kInputs; ++i) in[i] = Io::get(x[i], c);
      for (int i = 0; i < kParams; ++i) p[i] = params[i].v[c];
      for (int i = 0; i < kStates; ++i) before[i] = states[i].v[c];
      cell.step(in, p, before, after, y[c], value, gates);
      for (int i = 0; i < kStates; ++i) states[i].v[c] = after[i];
      for (int i = 0; i < kSaved; ++i) values[i][c] = kReadsOutput ? after[0] : value[i];
    }
    for (int i = 0; i < kSaved; ++i) saved[i] = SavedIo::pack(values[i]);
  }

  // What would have been saved of given states.
  __device__ __forceinline__ void save(const States& states, SavedRaw* saved) const {
    R values[kSaved][kChannels];
    for (int c = 0; c < kChannels; ++c) {
      R state[kStates], value[kSaved];
      for (int i = 0; i < kStates; ++i) state[i] = states[i].v[c];
      if constexpr (kReadsOutput)
        value[0] = state[0];
      else
        cell.save(state, value);
      for (int i = 0; i < kSaved; ++i) values[i][c] = value[i];
    }
    for (int i = 0; i < kSaved; ++i) saved[i] = SavedIo::pack(values[i]);
  }
};

template <template <class> class CellOf, class Io>
struct StepForward : StepPass<CellOf, Io, step_tile<Io>(CellOf<typename Io::R>::kInputs)> {
  using Pass = StepPass<CellOf, Io, step_tile<Io>(CellOf<typename Io::R>::kInputs)>;
  using Cell = typename Pass::Cell;
  using Pass::args, Pass::k, Pass::load_inputs, Pass::load_states, Pass::step, Pass::time;
  using typename Pass::States, typename Pass::SavedRaw, typename Pass::StateIo;
  static constexpr int kSteps = Pass::kInputSteps;

  const Rows<Io, void> y;
  const Rows<typename Pass::SavedIo, void> saved;
  int64_t until_saved = 0;  // steps until the next checkpoint

  __device__ __forceinline__ StepForward(const ScanArgs& args, const Share& share, const Cell& cell, int64_t lane)
      : Pass(args, share, cell, lane), y(args.y, k), saved(args.saved, k, true) {}

  __device__ __forceinline__ void run() {
    const bool saves = !Pass::kReadsOutput && args.saved.data, every_step = saves && args.interval == 0;
    States states;
    load_states(args.h0, states);
    auto tile = load_inputs(0, args.T);
    for (int64_t first = 0; first < args.T; first += kSteps) {
      const auto next = load_inputs(first + kSteps, args.T);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        if (first + s >= args.T) continue;
        const int64_t t = time(first + s);
        if (tile.reset[s]) load_states(args.h_reset, states);
        if (saves && !every_step) checkpoint(first + s, states);
        Values<Io> out;
        SavedRaw values[Pass::kSaved];
        step(tile.x[s], states, out.v, values);
        y.store(args.y, t, out.v);
        if (every_step)
          for (int i = 0; i < Pass::kSaved; ++i) saved.store(args.saved, t, values[i], i);
      }
      tile = next;
    }
    for (int i = 0; i < Pass::kStates; ++i) store_ends<Io>(state_plane<Io>(args.h_last, i), k, states[i]);
  }

  // The states before every interval-th step; divisions are slow, so the steps are counted.
  __device__ __forceinline__ void checkpoint(int64_t step, const States& states) {
    if (until_saved-- > 0) return;
    until_saved = args.interval - 1;
    if constexpr (!Pass::kReadsOutput)
      for (int i = 0; i < Pass::kStates; ++i) saved.store(args.saved, step / args.interval, StateIo::pack(states[i].v), i);
  }
};

template <template <class> class CellOf, class Io>
struct StepBackward : StepPass<CellOf, Io, kAgainSteps> {
  using Pass = StepPass<CellOf, Io, kAgainSteps>;
  using Cell = typename Pass::Cell;
  using R = typename Pass::R;
  using Pass::args, Pass::cell, Pass::inputs, Pass::k, Pass::params;
  using Pass::load_inputs, Pass::load_states, Pass::save, Pass::step, Pass::time;
  using typename Pass::InputRaw, typename Pass::SavedIo, typename Pass::SavedRaw, typename Pass::States;
  static constexpr int kSaved = Pass::kSaved, kInputs = Pass::kInputs, kParams = Pass::kParams, kStates = Pass::kStates;
  static constexpr int kChannels = Pass::kChannels, kSteps = step_tile<Io>(kInputs + 1 + kSaved);

  struct Tile {
    InputRaw x[kSteps][kInputs], dy[kSteps];
    SavedRaw before[kSteps][kSaved];
    bool reset[kSteps];
  };

  // Where the saved values of steps [lo, hi) lie: in the caller's tensor, or in this thread's part of the workspace. Before step lo come
  // those of the states at edge.
  struct InTensor {
    const StepBackward& pass;
    __device__ __forceinline__ SavedRaw load(int64_t step, int value) const {
      return pass.states.load(pass.args.states, pass.time(step), value);
    }
  };
  struct InWorkspace {
    const SavedRaw* mine;  // [step][value][thread]
    int64_t lo;
    __device__ __forceinline__ SavedRaw load(int64_t step, int value) const {
      return mine[((step - lo) * kSaved + value) * static_cast<int64_t>(blockDim.x)];  // written by this kernel: no read-only load
    }
  };

  const Rows<Io, const void> dy;
  const Rows<SavedIo, const void> states;
  const Rows<Io, void> dinputs[kMaxStreams];
  Values<Io> dparams[kParams];
  States adjoint;

  __device__ __forceinline__ StepBackward(const ScanArgs& args, const Share& share, const Cell& cell, int64_t lane)
      : Pass(args, share, cell, lane),
        dy(args.dy, k),
        states(args.states, k, !Pass::kReadsOutput),
        dinputs{{args.dinputs[0], k}, {args.dinputs[1], k}, {args.dinputs[2], k}} {
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
      for (int i = 0; i < kInputs; ++i) tile.x[s][i] = inputs[i].load(args.inputs[i], t);
      tile.dy[s] = dy.load(args.dy, t);
      if (step > lo)
        for (int i = 0; i < kSaved; ++i) tile.before[s][i] = where.load(step - 1, i);
      tile.reset[s] = is_reset(args, k, t);
    }
    return tile;
  }

  // Walks the steps [lo, hi) back; edge holds the states before lo.
  template <class Where>
  __device__ __forceinline__ void walk(const Where& where, int64_t lo, int64_t hi, const Input& edge) {
    SavedRaw after[kSaved];
    for (int i = 0; i < kSaved; ++i) after[i] = where.load(hi - 1, i);
    Tile tile = load(where, hi - 1, lo);
    for (int64_t last = hi - 1; last >= lo; last -= kSteps) {
      const Tile next = load(where, last - kSteps, lo);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const int64_t step = last - s;
        if (step < lo) continue;
        SavedRaw before[kSaved];
        for (int i = 0; i < kSaved; ++i) before[i] = tile.before[s][i];
        if (tile.reset[s])
          saved_of(args.h_reset, before);
        else if (step == lo)
          saved_of(edge, before);
        pull(tile, s, step, before, after);
        for (int i = 0; i < kSaved; ++i) after[i] = tile.before[s][i];
      }
      tile = next;
    }
  }

  __device__ __forceinline__ void pull(const Tile& tile, int s, int64_t step, const SavedRaw* before, const SavedRaw* after) {
    Values<Io> dx[kInputs];
    for (int c = 0; c < kChannels; ++c) {
      R x[kInputs], p[kParams], old[kSaved], now[kSaved], d[kStates], dinput[kInputs], dparam[kParams], gates[Pass::kGates];
      for (int i = 0; i < kInputs; ++i) x[i] = Io::get(tile.x[s][i], c);
      for (int i = 0; i < kParams; ++i) p[i] = params[i].v[c];
      for (int i = 0; i < kSaved; ++i) {
        old[i] = SavedIo::get(before[i], c);
        now[i] = SavedIo::get(after[i], c);
      }
      for (int i = 0; i < kStates; ++i) d[i] = adjoint[i].v[c];
      // Computed again also where the step was: through L2, a gate costs more than its few operations.
      if constexpr (Cell::kGates > 0) cell.gates(old, gates);
      cell.pullback(x, p, old, now, gates, Io::get(tile.dy[s], c), d, dinput, dparam);
      for (int i = 0; i < kStates; ++i) adjoint[i].v[c] = d[i];
      for (int i = 0; i < kInputs; ++i) dx[i].v[c] = dinput[i];
      for (int i = 0; i < kParams; ++i) dparams[i].v[c] += dparam[i];
    }
    for (int i = 0; i < kInputs; ++i) dinputs[i].store(args.dinputs[i], time(step), dx[i].v);
    if (tile.reset[s])
      for (int i = 0; i < kStates; ++i) {
        if (args.dreset) add_to<Io>(args.dreset + (k.b * kStates + i) * args.C, args.C, k, adjoint[i].v);
        for (int c = 0; c < kChannels; ++c) adjoint[i].v[c] = R(0);
      }
    if (step % kStepFlush == 0) {
      for (int i = 0; i < kParams; ++i) add_to<Io>(args.dparams + (k.b * kParams + i) * args.C, args.C, k, dparams[i].v);
      clear();
    }
  }

  // Computes the steps [lo, hi) again, from the states at edge, and keeps what is saved of them.
  __device__ __forceinline__ void again(const Input& edge, int64_t lo, int64_t hi, SavedRaw* mine) const {
    States now;
    load_states(edge, now);
    auto tile = load_inputs(lo, hi);
    for (int64_t first = lo; first < hi; first += Pass::kInputSteps) {
      const auto next = load_inputs(first + Pass::kInputSteps, hi);
#pragma unroll
      for (int s = 0; s < Pass::kInputSteps; ++s) {
        if (first + s >= hi) continue;
        if (tile.reset[s]) load_states(args.h_reset, now);
        Values<Io> out;
        SavedRaw saved[kSaved];
        step(tile.x[s], now, out.v, saved);
        for (int i = 0; i < kSaved; ++i) mine[((first + s - lo) * kSaved + i) * static_cast<int64_t>(blockDim.x)] = saved[i];
      }
      tile = next;
    }
  }

  __device__ __forceinline__ void finish() const {
    for (int i = 0; i < kStates; ++i) store_ends<Io>(state_plane<Io>(args.dh0, i), k, adjoint[i]);
  }
};

template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_forward(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                 const __grid_constant__ CellOf<typename Io::R> cell) {
  StepForward<CellOf, Io>(args, share, cell, lane_of_thread()).run();
}

template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_backward(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                  const __grid_constant__ CellOf<typename Io::R> cell) {
  using Pass = StepBackward<CellOf, Io>;
  Pass pass(args, share, cell, lane_of_thread());
  if (args.T > 0) pass.walk(typename Pass::InTensor{pass}, 0, args.T, args.h0);
  pass.finish();
}

// From checkpoints. A grid may be smaller than the lanes are many, to keep the workspace small: its blocks then take several in turn.
template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_backward_again(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                        const __grid_constant__ CellOf<typename Io::R> cell, void* workspace) {
  using Pass = StepBackward<CellOf, Io>;
  const int64_t K = args.interval < args.T ? args.interval : args.T;
  auto* const mine =
      static_cast<typename Pass::SavedRaw*>(workspace) + blockIdx.x * K * Pass::kSaved * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  for (int64_t lane = lane_of_thread(); lane < share.lanes; lane += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    Pass pass(args, share, cell, lane);
    for (int64_t lo = args.T > 0 ? (args.T - 1) / K * K : -1; lo >= 0; lo -= K) {
      const int64_t hi = lo + K < args.T ? lo + K : args.T;
      Input edge = args.states;  // a row of states lies as h0 does
      edge.data = static_cast<const typename Io::R*>(edge.data) + lo / K * edge.stride_t;
      pass.again(edge, lo, hi, mine);
      pass.walk(typename Pass::InWorkspace{mine, lo}, lo, hi, edge);
    }
    pass.finish();
  }
}

}  // namespace lrnn::LRNN_ISA
