// The step engine: any step cell, a thread per lane, which walks all of the time. Here what its
// passes share, and the forward one.
//
// A tile of inputs is loaded ahead of its use, as in the affine engine, so that steps wait for one
// another only. What limits a step cell is the chain of operations of a step where lanes are few,
// and arithmetic where they are many; so a lane is one channel where that makes more threads to
// overlap, and the channels of a 16-byte register of the carry where there are enough (plan.cpp).
#pragma once

#include "../../cells/step_cell.h"
#include "../lanes/streams.cuh"
#include "../plan.h"

namespace lrnn::LRNN_ISA {

// Lanes of one channel of float, which are for speed.
template <class Io>
inline constexpr bool kLean = is_lean(Io::kChannels, sizeof(typename Io::R));

// Steps per tile.
template <class Io, int kAccesses>
inline constexpr int kStepTile = step_tile(kAccesses, Io::kChannels, sizeof(typename Io::R));

// Where lanes are lean, rows are brought into the L2 cache so many steps ahead: a step takes some
// 50 ns, DRAM 800, and what a thread holds in registers is the few steps that hide the rest.
inline constexpr int64_t kStepsAhead = 32;

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
  static constexpr int kChannels = Io::kChannels, kInputs = Cell::kInputs, kParams = Cell::kParams,
                       kStates = Cell::kStates;
  static constexpr bool kReadsOutput = Cell::kSaved == 0;
  static constexpr int kSaved = kReadsOutput ? 1 : Cell::kSaved,
                       kGates = Cell::kGates > 0 ? Cell::kGates : 1;
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

  __device__ __forceinline__ StepPass(const ScanArgs& args, const Share& share, const Cell& cell,
                                      int64_t lane)
      : args(args),
        cell(cell),
        k(args, share, kChannels, lane),
        inputs{{args.inputs[0], k}, {args.inputs[1], k}, {args.inputs[2], k}} {
    for (int i = 0; i < kParams; ++i) params[i] = load_boundary<Io>(args.params[i], k);
  }

  // The time of a step in scan order.
  __device__ __forceinline__ int64_t time(int64_t step) const {
    return args.reverse ? args.T - 1 - step : step;
  }

  __device__ __forceinline__ void load_states(const Input& x, States& states) const {
    for (int i = 0; i < kStates; ++i) states[i] = load_boundary<Io>(state_plane<Io>(x, i), k);
  }
  __device__ __forceinline__ void fetch_states(const Input& x) const {
    for (int i = 0; kLean<Io> && i < kStates; ++i)
      fetch_into_l2(static_cast<const R*>(state_plane<Io>(x, i).data) +
                    boundary_offset<Io>(k, 0, 0, false, x.stride_b, 0));
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

  // Brings the inputs of a tile into the L2 cache.
  __device__ __forceinline__ void fetch_inputs(int64_t first, int64_t end) const {
    if constexpr (kLean<Io>) {
#pragma unroll
      for (int s = 0; s < kInputSteps; ++s)
        for (int i = 0; i < kInputs; ++i)
          if (first + s < end) inputs[i].fetch(args.inputs[i], time(first + s));
    }
  }

  // Takes the states one step further; y gets the output, and saved what the backward pass reads,
  // packed as it is stored.
  __device__ __forceinline__ void step(const InputRaw* x, States& states, R* y,
                                       SavedRaw* saved) const {
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
struct StepForward : StepPass<CellOf, Io, kStepTile<Io, CellOf<typename Io::R>::kInputs>> {
  using Pass = StepPass<CellOf, Io, kStepTile<Io, CellOf<typename Io::R>::kInputs>>;
  using Cell = typename Pass::Cell;
  using Pass::args, Pass::k, Pass::fetch_inputs, Pass::load_inputs, Pass::load_states, Pass::step,
      Pass::time;
  using typename Pass::States, typename Pass::SavedRaw, typename Pass::StateIo;
  static constexpr int kSteps = Pass::kInputSteps;

  const Rows<Io, void> y;
  const Rows<typename Pass::SavedIo, void> saved;
  int64_t until_saved = 0;  // steps until the next checkpoint

  __device__ __forceinline__ StepForward(const ScanArgs& args, const Share& share, const Cell& cell,
                                         int64_t lane)
      : Pass(args, share, cell, lane), y(args.y, k), saved(args.saved, k, true) {}

  __device__ __forceinline__ void run() {
    const bool saves = !Pass::kReadsOutput && args.saved.data,
               every_step = saves && args.interval == 0;
    States states;
    load_states(args.h0, states);
    auto tile = load_inputs(0, args.T);
    for (int64_t first = 0; first < args.T; first += kSteps) {
      const auto next = load_inputs(first + kSteps, args.T);
      fetch_inputs(first + kSteps + kStepsAhead, args.T);
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
    for (int i = 0; i < Pass::kStates; ++i)
      store_boundary<Io>(state_plane<Io>(args.h_last, i), k, states[i]);
  }

  // The states before every interval-th step; divisions are slow, so the steps are counted.
  __device__ __forceinline__ void checkpoint(int64_t step, const States& states) {
    if (until_saved-- > 0) return;
    until_saved = args.interval - 1;
    if constexpr (!Pass::kReadsOutput)
      for (int i = 0; i < Pass::kStates; ++i)
        saved.store(args.saved, step / args.interval, StateIo::pack(states[i].v), i);
  }
};

template <template <class> class CellOf, class Io>
__global__ void __launch_bounds__(kGpuPlainThreads, 1)
    step_forward(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                 const __grid_constant__ CellOf<typename Io::R> cell) {
  StepForward<CellOf, Io>(args, share, cell, lane_of_thread()).run();
}

}  // namespace lrnn::LRNN_ISA
