// The step engine: forward and backward of any step cell, time outermost over whole channel rows,
// states and adjoints in L1.
//
// The backward pass reads what was saved of the states: y itself where that is the state; else
// saved values of every step; or, if args.interval is K > 0, only the states before every K-th
// step, from which K steps at a time are computed again into a buffer that stays in L2. Both ways
// read the same numbers, so their gradients are the same bit for bit. Steps that are computed again
// also leave their gates in the buffer, which pullback otherwise computes from what was saved.
#pragma once

#include <memory>
#include <new>
#include <type_traits>

#include "../../cells/step_cell.h"
#include "../lanes/rows.h"
#include "../memory.h"

namespace lrnn::LRNN_ISA {

template <template <class> class CellOf, class S, class R>
struct Step {
  using Cell = CellOf<R>;
  using Io = RealIo<S, R>;
  using StateIo = PlanesIo<R, R, Cell::kStates>;
  static constexpr bool kReadsOutput = Cell::kSaved == 0;
  using SavedIo = std::conditional_t<kReadsOutput, PlanesIo<S, R, 1>,
                                     PlanesIo<R, R, kReadsOutput ? 1 : Cell::kSaved>>;
  using Saved = typename SavedIo::S;
  using State = CarryRow<R, Cell::kStates>;
  using Inputs = Reader<Io, Cell::kInputs>;
  static constexpr int kCopies = Inputs::kCopies > 0 ? Inputs::kCopies : 1;  // room for them
  using Params = ParamRows<Io, Cell::kParams>;
  template <int N>
  using V = Vec<R, N>;
  template <int N>
  using SavedValue = typename SavedIo::template Value<N>;

  // Full registers worked on together, to overlap their long chains of operations; where several
  // states fill the registers, the processor overlaps one with the next better than the compiler.
  static constexpr int kTogether = Cell::kStates == 1 ? 2 : 1;

  static constexpr int kGates = Cell::kGates > 0 ? Cell::kGates : 1;  // room for them

  // How far ahead a backward pass prefetches what it will read, in bytes of the carry type. A step
  // takes so many instructions that a processor's window reaches only the next few loads, and
  // hardware prefetchers lose streams that are walked downwards so slowly.
  static constexpr int64_t kAhead = 4096;

  template <int N>
  LRNN_HD static SavedValue<N> saved_of(const Cell& cell, const V<N>* state) {
    SavedValue<N> saved;
    if constexpr (kReadsOutput)
      saved.plane[0] = state[0];
    else
      cell.save(state, saved.plane);
    return saved;
  }

  // Takes the state row one step further; keep.operator()<N>(c, y, saved, gates) gets every
  // register's output, and what its backward pass reads.
  template <class Keep>
  LRNN_HD static void step_row(const Cell& cell, int64_t n, bool descending, const Inputs& inputs,
                               const Params& params, State& state, Keep&& keep) {
    for_lanes<R, kTogether>(
        n, descending, [&]<int N, int U>(int64_t c) __attribute__((always_inline)) {
          V<N> x[U][Cell::kInputs], p[U][Cell::kParams], y[U], gates[U][kGates];
          typename StateIo::template Value<N> before[U], after[U];
          SavedValue<N> saved[U];
          for (int u = 0; u < U; ++u) {
            if constexpr (N > 1) inputs.template prefetch_next<N>(c + u * N);
            inputs.template load<N>(c + u * N, x[u]);
            params.template load<N>(c + u * N, p[u]);
            before[u] = StateIo::template load_carry<N>(state, c + u * N);
          }
          for (int u = 0; u < U; ++u) {
            cell.step(x[u], p[u], before[u].plane, after[u].plane, y[u], saved[u].plane, gates[u]);
          }
          for (int u = 0; u < U; ++u) {
            StateIo::template store_carry<N>(state, c + u * N, after[u]);
            keep.template operator()<N>(c + u * N, y[u], saved[u], gates[u]);
          }
        });
  }

  struct ForwardRows {
    State state;
    const Params params;
    State h_reset;
    RowCopy<S> copies[kCopies];
    ForwardRows(const ScanArgs& args, const Task& k) : params(args, k) {
      begin_carry<StateIo, false>(args.h0, k, state);
      load_boundary<StateIo, false>(args.h_reset, k, h_reset);
    }
  };

  template <bool kSave>
  static void forward_steps(const ScanArgs& call, const Task& k, ForwardRows& rows) {
    const ScanArgs args = call;
    const Cell cell(args.options);
    State& state = rows.state;
    const Params& params = rows.params;
    const int64_t direction = args.reverse ? -1 : 1, t0 = time_at(args, k.s0), n = k.c1 - k.c0;
    Resets resets(args.reset, k, t0, direction);
    Inputs inputs(args, args.inputs, k, t0, direction, rows.copies);
    Writer<Io> y(args.y, k, t0, direction, args.nontemporal);
    const bool every_step = kSave && args.interval == 0;
    Writer<SavedIo> saved(every_step ? args.saved : Output{}, k, t0, direction, args.nontemporal);
    for (int64_t s = k.s0; s < k.s1; ++s) {
      if (resets.next()) copy_row(rows.h_reset, n, state);
      if (kSave && !every_step && s % args.interval == 0) {
        R* const row = static_cast<R*>(args.saved.data) + k.b * args.saved.stride_b +
                       s / args.interval * args.saved.stride_t + k.c0;
        for (int i = 0; i < Cell::kStates; ++i)
          __builtin_memcpy(row + i * args.saved.plane, state.plane[i], n * sizeof(R));
      }
      inputs.template prepare<true>(n);
      if (every_step) {
        step_row(cell, n, direction < 0, inputs, params, state,
                 [&]<int N>(int64_t c, V<N> out, const SavedValue<N>& value, const V<N>*)
                     __attribute__((always_inline)) {
                       y.template store<N>(c, out);
                       saved.template store<N>(c, value);
                     });
        saved.advance();
      } else {
        step_row(cell, n, direction < 0, inputs, params, state,
                 [&]<int N>(int64_t c, V<N> out, const SavedValue<N>&, const V<N>*)
                     __attribute__((always_inline)) { y.template store<N>(c, out); });
      }
      inputs.template advance<true>();
      y.advance();
    }
    if (args.nontemporal) stream_fence();
  }

  static void forward(const ScanArgs& args, const Task& k) {
    Placed<ForwardRows> placed(args, k);
    if (!kReadsOutput && args.saved.data)
      forward_steps<!kReadsOutput>(args, k, *placed.rows);
    else
      forward_steps<false>(args, k, *placed.rows);
    end_carry<StateIo>(placed.rows->state, k, args.h_last);
  }

  // What was saved of the states in a run of steps [lo, hi), walked downwards: the row after the
  // last step, the distance from it to the row of the step before, and the row before the first
  // step.
  struct Run {
    int64_t lo, hi;
    const Saved* after;
    int64_t step, plane;
    const Saved* first;
    int64_t first_plane;
  };

  // All that the backward pass carries from step to step.
  struct Backward {
    const ScanArgs& args;
    const Task& k;
    const Cell cell;
    const Params params;
    const int64_t n, direction;
    alignas(kPage) State adjoint;  // see kRowPitch
    CarryRow<R, 1> dparams[Cell::kParams];
    RowCopy<S> copies[kCopies];
    StoredRow<SavedIo> h0, h_reset;

    Backward(const ScanArgs& args, const Task& k)
        : args(args),
          k(k),
          cell(args.options),
          params(args, k),
          n(k.c1 - k.c0),
          direction(args.reverse ? 1 : -1),
          h0(saved_boundary(cell, args.h0, k)),
          h_reset(saved_boundary(cell, args.h_reset, k)) {
      begin_carry<StateIo, false>(args.dh_last, k, adjoint);
      for (auto& row : dparams) set_row(row, n, R(0));
    }

    static StoredRow<SavedIo> saved_boundary(const Cell& cell, Input boundary, const Task& k) {
      State row;
      CarryRow<R, SavedIo::kPlanes> saved;
      load_boundary<StateIo, false>(boundary, k, row);
      for_lanes<R>(k.c1 - k.c0, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
        const auto state = StateIo::template load_carry<N>(row, c);
        SavedIo::template store_carry<N>(saved, c, saved_of<N>(cell, state.plane));
      });
      return {saved, k.c1 - k.c0};
    }

    template <bool kGatesSaved>
    void row(const Run& run, const Saved* before, int64_t before_plane, const Saved* after,
             const Inputs& inputs, const Reader<Io>& dy, Writer<Io>* dx) {
      const PlaneRows<SavedIo> earlier(before, before_plane), later(after, run.plane);
      const int64_t steps_ahead = 1 + (kAhead - 1) / (n * int64_t(sizeof(R)));
      for_lanes<R, kTogether>(
          n, direction < 0, [&]<int N, int U>(int64_t c) __attribute__((always_inline)) {
            V<N> x[U][Cell::kInputs], p[U][Cell::kParams], dinput[U][Cell::kInputs],
                dparam[U][Cell::kParams], gates[U][kGates], dy_now[U];
            V<N> sum[U][Cell::kParams];
            SavedValue<N> saved_before[U], saved_after[U];
            typename StateIo::template Value<N> d[U];
            for (int u = 0; u < U; ++u) {
              if constexpr (N > 1) {
                dy.template prefetch_ahead<N>(steps_ahead, c + u * N);
                if constexpr (Cell::kPullsInputs)
                  inputs.template prefetch_ahead<N>(steps_ahead, c + u * N);
                if constexpr (!kGatesSaved)
                  for (int i = 0; i < SavedIo::kPlanes; ++i)
                    __builtin_prefetch(later.at[i] + (1 + steps_ahead) * run.step + c + u * N);
              }
              inputs.template load<N>(c + u * N, x[u]);
              params.template load<N>(c + u * N, p[u]);
              saved_before[u] = SavedIo::template load_value<N>(earlier.at, c + u * N);
              saved_after[u] = SavedIo::template load_value<N>(later.at, c + u * N);
              if constexpr (kGatesSaved)
                for (int i = 0; i < Cell::kGates; ++i)
                  gates[u][i] =
                      load_raw<V<N>>(after + (SavedIo::kPlanes + i) * run.plane + c + u * N);
              dy_now[u] = dy.template load<N>(c + u * N);
              d[u] = StateIo::template load_carry<N>(adjoint, c + u * N);
              for (int i = 0; i < Cell::kParams; ++i)
                sum[u][i] = load_raw<V<N>>(&dparams[i].plane[0][c + u * N]);
            }
            for (int u = 0; u < U; ++u) {
              if constexpr (Cell::kGates > 0 && !kGatesSaved)
                cell.gates(saved_before[u].plane, gates[u]);
              cell.pullback(x[u], p[u], saved_before[u].plane, saved_after[u].plane, gates[u],
                            dy_now[u], d[u].plane, dinput[u], dparam[u]);
            }
            for (int u = 0; u < U; ++u) {
              StateIo::template store_carry<N>(adjoint, c + u * N, d[u]);
              for (int i = 0; i < Cell::kInputs; ++i)
                dx[i].template store<N>(c + u * N, dinput[u][i]);
              for (int i = 0; i < Cell::kParams; ++i)
                store_raw(&dparams[i].plane[0][c + u * N], sum[u][i] + dparam[u][i]);
            }
          });
    }

    template <bool kGatesSaved>
    void steps(const Run& run) {
      const int64_t t1 = time_at(args, run.hi - 1);
      Resets resets(args.reset, k, t1, direction);
      Inputs inputs(args, args.inputs, k, t1, direction, copies);
      Reader<Io> dy(args, &args.dy, k, t1, direction);
      Writer<Io> dx[kMaxStreams] = {{args.dinputs[0], k, t1, direction, args.nontemporal},
                                    {args.dinputs[1], k, t1, direction, args.nontemporal},
                                    {args.dinputs[2], k, t1, direction, args.nontemporal}};
      const Saved* after = run.after;
      for (int64_t s = run.hi - 1; s >= run.lo; --s, after += run.step) {
        const bool reset = resets.next();
        inputs.template prepare<true>(n);
        const Saved* const before =
            reset ? h_reset.data : (s > run.lo ? after + run.step : run.first);
        row<kGatesSaved>(run, before,
                         reset ? h_reset.kPlane : (s > run.lo ? run.plane : run.first_plane), after,
                         inputs, dy, dx);
        if (reset) {
          if (args.dreset)
            add_row<R>(adjoint, n, args.dreset + k.slot * Cell::kStates * args.C + k.c0, args.C);
          for (auto& plane : adjoint.plane) __builtin_memset(plane, 0, n * sizeof(R));
        }
        if (s % kFlush == 0)  // whatever the runs are, so that their length changes no bit
          for (int i = 0; i < Cell::kParams; ++i)
            flush_row<R>(dparams[i], n, args.dparams + (k.slot * Cell::kParams + i) * args.C + k.c0,
                         args.C);
        inputs.template advance<true>();
        dy.advance();
        for (int i = 0; i < Cell::kInputs; ++i) dx[i].advance();
      }
    }

    // Every step's saved values, or y, are in memory.
    void from_saved(Input saved) {
      if (k.s1 == k.s0) return;
      const int64_t t1 = time_at(args, k.s1 - 1);
      const Saved* const last = row_at<SavedIo>(saved, k.b, t1, k.c0);
      const int64_t step = direction * saved.stride_t;
      if (k.s0 > 0)  // where the steps before lie in memory, too
        steps<false>(
            {k.s0, k.s1, last, step, saved.plane, last + (k.s1 - k.s0) * step, saved.plane});
      else
        steps<false>({k.s0, k.s1, last, step, saved.plane, h0.data, h0.kPlane});
    }

    // The states before every interval-th step are in memory: each interval is run again, then
    // walked back. A task begins with one.
    void from_checkpoints() {
      const int64_t K = args.interval < k.s1 ? args.interval : k.s1, plane = (n + 63) / 64 * 64,
                    row = (SavedIo::kPlanes + Cell::kGates) * plane;
      if (k.s1 == 0) return;
      const std::unique_ptr<Saved[]> buffer(new (std::nothrow) Saved[(K + 1) * row]);
      if (!buffer) memory::out_of_memory((K + 1) * row * sizeof(Saved));
      const int64_t ahead = -direction;
      for (int64_t j = (k.s1 - 1) / K; j >= k.s0 / K; --j) {
        const int64_t lo = j * K, hi = lo + K < k.s1 ? lo + K : k.s1, t0 = time_at(args, lo);
        const R* const from = static_cast<const R*>(args.states.data) + k.b * args.states.stride_b +
                              j * args.states.stride_t + k.c0;
        State state, reset_state;
        for (int i = 0; i < Cell::kStates; ++i)
          __builtin_memcpy(state.plane[i], from + i * args.states.plane, n * sizeof(R));
        load_boundary<StateIo, false>(args.h_reset, k, reset_state);
        for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
          SavedIo::template store_value<N>(
              buffer.get(), c, plane,
              saved_of<N>(cell, StateIo::template load_carry<N>(state, c).plane));
        });
        Resets resets(args.reset, k, t0, ahead);
        Inputs inputs(args, args.inputs, k, t0, ahead);
        Saved* to = buffer.get() + row;
        for (int64_t s = lo; s < hi; ++s, to += row) {
          if (resets.next()) copy_row(reset_state, n, state);
          step_row(cell, n, ahead < 0, inputs, params, state,
                   [&]<int N>(int64_t c, V<N>, const SavedValue<N>& value, const V<N>* gates)
                       __attribute__((always_inline)) {
                         SavedIo::template store_value<N>(to, c, plane, value);
                         for (int i = 0; i < Cell::kGates; ++i)
                           store_raw(to + (SavedIo::kPlanes + i) * plane + c, gates[i]);
                       });
          inputs.advance();
        }
        steps<true>({lo, hi, to - row, -row, plane, buffer.get(), plane});
      }
    }
  };

  static void backward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    Backward pass(args, k);
    if (!kReadsOutput && args.interval > 0)
      pass.from_checkpoints();
    else
      pass.from_saved(args.states);
    if (args.nontemporal) stream_fence();
    end_carry<StateIo>(pass.adjoint, k, args.dh0);
  }

  static Kernels kernels() {
    Kernels k;
    k.forward = forward;
    k.backward = backward;
    return k;
  }
};

using step_table = Kernels;

template <template <class> class CellOf>
Kernels step_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Step<CellOf, float, float>::kernels();
    case Storage::f64:
      return Step<CellOf, double, double>::kernels();
    case Storage::bf16:
      return Step<CellOf, BFloat16, float>::kernels();
    case Storage::f16:
      return Step<CellOf, Half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
