// The passes of the matrix engine: what is elementwise around the products, step by step.
#pragma once

#include "matrix.cuh"

namespace lrnn::LRNN_ISA {

template <template <class> class CellOf, class S, class R, int kC>
__global__ void __launch_bounds__(MatrixShape<CellOf<R>, R, kC>::kThreads, 1)
    matrix_forward(const __grid_constant__ ScanArgs args,
                   const __grid_constant__ GpuMatrices matrices,
                   const __grid_constant__ GpuMatrixLayout layout, void* words) {
  using Cell = CellOf<R>;
  using Thread = MatrixThread<Cell, S, R, kC, true>;
  __shared__ typename Thread::Vectors shared[2];
  Thread k(args, matrices, layout, words, shared);
  constexpr int kAhead = Thread::Shape::kStepsAhead;
  constexpr int kInputs = Cell::kInputs, kStates = Cell::kStates, kSaved = Cell::kSaved;
  struct Tile {
    R x[kAhead][kInputs];
    bool reset[kAhead];  // of the step after
  };
  const auto load = [&](int64_t first) {
    Tile tile{};
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (first + s >= args.T) continue;
      for (int i = 0; i < kInputs; ++i)
        tile.x[s][i] = k.template get<S>(args.inputs[i], k.time(first + s));
      tile.reset[s] = first + s + 1 < args.T && k.is_reset(k.time(first + s + 1));
    }
    return tile;
  };
  k.each([&] {
    R h[kStates];
    k.get_states(args.T > 0 && k.is_reset(k.time(0)) ? args.h_reset : args.h0, h);
    if (args.T > 0) k.template tell<1>(h);
    Tile tile = load(0);
    for (int64_t first = 0; first < args.T; first += kAhead) {
      const Tile next = load(first + kAhead);
#pragma unroll
      for (int s = 0; s < kAhead; ++s) {
        if (first + s >= args.T) continue;
        const int64_t t = k.time(first + s);
        R terms[Cell::kTerms], before[kStates], after[kStates], y, saved[kSome<kSaved>];
        k.template hear<1>();
        k.template multiply<0, Thread::kEarly>(terms);
        if constexpr (Cell::kLate > 0) {
          Cell::gates(tile.x[s], terms, saved);
          const R late = Cell::late(saved, h);
          k.template tell<1>(&late);
          k.template hear<1>();
          k.template multiply<Thread::kEarly, Cell::kLate>(terms + Thread::kEarly);
        }
        Cell::step(tile.x[s], terms, k.p, h, after, y, saved);
        for (int i = 0; i < kStates; ++i) {
          before[i] = h[i];
          h[i] = after[i];
        }
        if (tile.reset[s]) k.get_states(args.h_reset, h);
        if (first + s + 1 < args.T) k.template tell<1>(h);
        k.template put<S>(args.y, t, y);
        if (args.saved.data) {
          for (int i = 0; i < kSaved; ++i) k.template put<R>(args.saved, t, saved[i], i);
          for (int i = 0; i < kStates; ++i) k.template put<R>(args.saved, t, before[i], kSaved + i);
        }
      }
      tile = next;
    }
    k.put_states(args.h_last, h);
  });
}

template <template <class> class CellOf, class S, class R, int kC>
__global__ void __launch_bounds__(MatrixShape<CellOf<R>, R, kC>::kThreads, 1)
    matrix_backward(const __grid_constant__ ScanArgs args,
                    const __grid_constant__ GpuMatrices matrices,
                    const __grid_constant__ GpuMatrixLayout layout, void* words) {
  using Cell = CellOf<R>;
  using Thread = MatrixThread<Cell, S, R, kC, false>;
  __shared__ typename Thread::Vectors shared[2];
  Thread k(args, matrices, layout, words, shared);
  constexpr int kAhead = Thread::Shape::kStepsAhead;
  constexpr int kInputs = Cell::kInputs, kParams = Cell::kParams, kTerms = Cell::kTerms,
                kStates = Cell::kStates, kSaved = Cell::kSaved;
  struct Tile {
    R x[kAhead][kInputs], saved[kAhead][kSome<kSaved>], before[kAhead][kStates], dy[kAhead];
    bool reset[kAhead];
  };
  const auto load = [&](int64_t last) {
    Tile tile{};
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (last - s < 0) continue;
      const int64_t t = k.time(last - s);
      for (int i = 0; Cell::kPullsInputs && i < kInputs; ++i)
        tile.x[s][i] = k.template get<S>(args.inputs[i], t);
      for (int i = 0; i < kSaved; ++i) tile.saved[s][i] = k.template get<R>(args.states, t, i);
      for (int i = 0; i < kStates; ++i)
        tile.before[s][i] = k.template get<R>(args.states, t, kSaved + i);
      tile.dy[s] = k.template get<S>(args.dy, t);
      tile.reset[s] = k.is_reset(t);
    }
    return tile;
  };
  k.each([&] {
    R adjoint[kStates];
    double dparams[kSome<kParams>] = {};
    k.get_states(args.dh_last, adjoint);
    Tile tile = load(args.T - 1);
    for (int64_t last = args.T - 1; last >= 0; last -= kAhead) {
      const Tile next = load(last - kAhead);
#pragma unroll
      for (int s = 0; s < kAhead; ++s) {
        if (last - s < 0) continue;
        const int64_t t = k.time(last - s);
        R dx[kInputs], dterms[kTerms], dp[kSome<kParams>], through = R(0), product;
        if constexpr (Cell::kLate > 0) {
          Cell::pull_late(tile.x[s], k.p, tile.saved[s], tile.before[s], tile.dy[s], adjoint,
                          dterms);
          k.template tell<Cell::kLate>(dterms + Thread::kEarly);
          if (args.saved.data)
            k.template put<R>(args.saved, t, Cell::late(tile.saved[s], tile.before[s]), kTerms);
          k.template hear<Cell::kLate>();
          k.template multiply<Thread::kEarly, Cell::kLate>(&through);
        }
        Cell::pullback(tile.x[s], k.p, tile.saved[s], tile.before[s], through, tile.dy[s], adjoint,
                       dx, dterms, dp);
        k.template tell<Thread::kEarly>(dterms);
        for (int i = 0; i < kInputs; ++i) k.template put<S>(args.dinputs[i], t, dx[i]);
        if (args.saved.data)
          for (int i = 0; i < kTerms; ++i) k.template put<R>(args.saved, t, dterms[i], i);
        for (int i = 0; i < kParams; ++i) dparams[i] += dp[i];
        k.template hear<Thread::kEarly>();
        k.template multiply<0, Thread::kEarly>(&product);
        adjoint[0] += product;
        if (!tile.reset[s]) continue;
        for (int i = 0; i < kStates; ++i) {
          if (args.dreset && k.works && k.owns)
            args.dreset[(k.b * kStates + i) * args.C + k.channel] += adjoint[i];
          adjoint[i] = R(0);
        }
      }
      tile = next;
    }
    k.put_states(args.dh0, adjoint);
    for (int i = 0; i < kParams; ++i)
      if (k.works && k.owns) args.dparams[(k.b * kParams + i) * args.C + k.channel] = dparams[i];
  });
}

}  // namespace lrnn::LRNN_ISA
