// The matrix engine: a matrix cell's products and the elementwise part around them, for some batch
// elements and all of time. Nothing waits for another thread.
//
// A step takes one product of all its batch elements with the packed matrices, or two of a cell
// with late terms, and walks their rows. The matrices' gradients are products over many steps: the
// gradients of terms, and what was multiplied, are gathered row by row, and multiplied once there
// are kGathered of them.
#pragma once

#include "matrix_rows.h"

namespace lrnn::LRNN_ISA {

template <template <class> class CellOf, class S, class R>
struct Matrix : MatrixRows<CellOf, S, R> {
  using Rows = MatrixRows<CellOf, S, R>;
  using Rows::kTerms, Rows::kLate, Rows::kEarly, Rows::kStates, Rows::kSaved, Rows::kGates,
      Rows::kInputs, Rows::kParams;
  using Rows::row, Rows::is_reset, Rows::load_states, Rows::store_states, Rows::work,
      Rows::packed_early, Rows::packed_late, Rows::packed_drive;
  using typename Rows::Cell, typename Rows::P, typename Rows::ForwardRows,
      typename Rows::BackwardRows;
  template <int N>
  using V = Vec<R, N>;

  // Products of all rows x with the blocks [first, first + terms), forward.
  static void multiply(const MatrixArgs& m, int64_t C, int first, int terms, const R* x,
                       int64_t x_row, int64_t batch, R* y, int64_t y_row) {
    const R* const w = first ? packed_late(m, C, false) : packed_early(m);
    P::multiply({x, x_row, 1}, batch, C, w, C, terms * C, y, y_row, false);
  }

  static void forward_gates(const ScanArgs& args, int64_t b, int64_t t, const R* h, const R* early,
                            R* gates, R* inner) {
    const int64_t C = args.C;
    for_lanes<R>(C, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> x[kInputs], q[kTerms], before[kStates], saved[some(kSaved)];
      load_inputs<kInputs, S>(args, b, t, c, x);
      load_planes<kEarly>(early, C, c, q);
      load_planes<kStates>(h, row(C), c, before);
      Cell::gates(x, q, saved);
      store_planes<kGates>(saved, gates, C, c);
      store_raw(inner + c, Cell::late(saved, before));
    });
  }

  static void forward_row(const ScanArgs& args, int64_t b, int64_t t, R* h, const R* early,
                          const R* late, const R* gates, R* kept) {
    const int64_t C = args.C;
    S* const y_row = at<S>(args.y, b, t);
    for_lanes<R>(C, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> x[kInputs], q[kTerms], p[some(kParams)], before[kStates], after[kStates], y,
          saved[some(kSaved)];
      load_inputs<kInputs, S>(args, b, t, c, x);
      load_planes<kEarly>(early, C, c, q);
      load_planes<kLate>(late, C, c, q + kEarly);
      load_params<kParams>(args, c, p);
      load_planes<kStates>(h, row(C), c, before);
      load_planes<kGates>(gates, C, c, saved);
      Cell::step(x, q, p, before, after, y, saved);
      store_planes<kStates>(after, h, row(C), c);
      store(y_row + c, y);
      if (kept) {
        store_planes<kSaved - kGates>(saved + kGates, kept + kGates * C, C, c);
        store_planes<kStates>(before, kept + kSaved * C, C, c);
      }
    });
  }

  // Rows of a buffer as streams, which then hold one step: of batch elements from b0 on.
  template <class Void>
  static void stream_rows(Stream<Void>* streams, R* rows, int64_t row, int64_t b0, int64_t C) {
    for (int i = 0; i < kInputs; ++i)
      streams[i] = {
          reinterpret_cast<Void*>(reinterpret_cast<uintptr_t>(rows + i * C) - b0 * row * sizeof(R)),
          row, 0, 0};
  }

  // The inputs of a step, x w' + bias.
  static void drive(const MatrixArgs& m, int64_t C, int64_t b0, int64_t t, int64_t batch,
                    const ForwardRows& rows) {
    const Driven& d = m.driven;
    const R* const x = at<R>(d.x, b0, t);
    const int64_t width = kInputs * C;
    for (int64_t i = 0; i < batch; ++i)
      __builtin_memcpy(rows.drive + i * rows.drive_row, d.bias, width * sizeof(R));
    P::multiply({x, d.x.stride_b, 1}, batch, d.channels, packed_drive(m, C, false), d.channels,
                width, rows.drive, rows.drive_row, true);
  }

  static void forward_some(ScanArgs args, const MatrixArgs& m, int64_t b0, int64_t batch,
                           void* memory, Watch& watch) {
    const int64_t C = args.C, channels = m.driven.channels;
    Arena arena{reinterpret_cast<uintptr_t>(memory)};
    const ForwardRows rows(arena, batch, C, channels);
    if (channels) stream_rows(args.inputs, rows.drive, rows.drive_row, b0, C);
    for (int64_t i = 0; i < batch; ++i)
      load_states(args, args.h0, b0 + i, rows.h + i * rows.state_row);
    for (int64_t s = 0; s < args.T && watch.go_on(work(batch, C, channels)); ++s) {
      const int64_t t = time_at(args, s);
      const auto kept = [&](int64_t i) {
        return args.saved.data ? at<R>(args.saved, b0 + i, t) : nullptr;
      };
      const auto gates = [&](int64_t i) {
        return args.saved.data ? kept(i) : rows.gates + i * rows.gates_row;
      };
      for (int64_t i = 0; i < batch; ++i)
        if (is_reset(args, b0 + i, t))
          load_states(args, args.h_reset, b0 + i, rows.h + i * rows.state_row);
      if (channels) drive(m, C, b0, t, batch, rows);
      multiply(m, C, 0, kEarly, rows.h, rows.state_row, batch, rows.early, rows.early_row);
      if constexpr (kLate > 0) {
        for (int64_t i = 0; i < batch; ++i)
          forward_gates(args, b0 + i, t, rows.h + i * rows.state_row,
                        rows.early + i * rows.early_row, gates(i), rows.inner + i * row(C));
        multiply(m, C, kEarly, kLate, rows.inner, row(C), batch, rows.late, rows.late_row);
      }
      const int64_t next = s + 1 < args.T ? time_at(args, s + 1) : t;
      for (int64_t i = 0; i < batch; ++i) {
        if (channels)
          prefetch(at<S>(m.driven.x, b0 + i, next), channels * sizeof(S));
        else
          for (int j = 0; j < kInputs; ++j)
            prefetch(at<S>(args.inputs[j], b0 + i, next), C * sizeof(S));
        if (args.saved.data)
          prefetch_to_write(at<R>(args.saved, b0 + i, next), (kSaved + kStates) * C * sizeof(R));
        forward_row(args, b0 + i, t, rows.h + i * rows.state_row, rows.early + i * rows.early_row,
                    rows.late + i * rows.late_row, gates(i), kept(i));
      }
    }
    for (int64_t i = 0; i < batch; ++i)
      store_states(args, rows.h + i * rows.state_row, args.h_last, b0 + i);
  }

  static void forward(const ScanArgs& args, const MatrixArgs& m, const MatrixTask& k,
                      Watch& watch) {
    for (int64_t b = k.b0; b < k.b1; b += kTogether)
      forward_some(args, m, b, k.b1 - b < kTogether ? k.b1 - b : kTogether, k.memory, watch);
  }

  static void backward_late(const ScanArgs& args, int64_t b, int64_t t, const R* kept,
                            const R* adjoint, R* dterms, R* inner) {
    const int64_t C = args.C;
    const S* const dy_row = at<S>(args.dy, b, t);
    for_lanes<R>(C, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> x[kInputs] = {}, p[some(kParams)], saved[some(kSaved)], before[kStates], after[kStates],
           dq[kTerms];
      if (Cell::kPullsInputs) load_inputs<kInputs, S>(args, b, t, c, x);
      load_params<kParams>(args, c, p);
      load_planes<kSaved>(kept, C, c, saved);
      load_planes<kStates>(kept + kSaved * C, C, c, before);
      load_planes<kStates>(adjoint, row(C), c, after);
      Cell::pull_late(x, p, saved, before, load<V<N>>(dy_row + c), after, dq);
      store_planes<kLate>(dq + kEarly, dterms + kEarly * C, C, c);
      store_raw(inner + c, Cell::late(saved, before));
    });
  }

  static void backward_row(const ScanArgs& args, int64_t b, int64_t t, const R* kept, R* adjoint,
                           const R* dlate, R* dterms, R* dparams) {
    const int64_t C = args.C;
    const S* const dy_row = at<S>(args.dy, b, t);
    for_lanes<R>(C, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> x[kInputs] = {}, p[some(kParams)], saved[some(kSaved)], before[kStates], d[kStates],
           through = {}, dx[kInputs], dq[kTerms], dp[some(kParams)];
      if (Cell::kPullsInputs) load_inputs<kInputs, S>(args, b, t, c, x);
      load_params<kParams>(args, c, p);
      load_planes<kSaved>(kept, C, c, saved);
      load_planes<kStates>(kept + kSaved * C, C, c, before);
      load_planes<kStates>(adjoint, row(C), c, d);
      if (kLate > 0) {
        load_planes<kLate>(dterms + kEarly * C, C, c, dq + kEarly);
        through = load_raw<V<N>>(dlate + c);
      }
      Cell::pullback(x, p, saved, before, through, load<V<N>>(dy_row + c), d, dx, dq, dp);
      store_planes<kStates>(d, adjoint, row(C), c);
      store_planes<kEarly>(dq, dterms, C, c);
      for (int i = 0; i < kInputs; ++i) store(at<S>(args.dinputs[i], b, t) + c, dx[i]);
      for (int i = 0; i < kParams; ++i) {
        R* const sum = dparams + i * row(C) + c;
        store_raw(sum, load_raw<V<N>>(sum) + dp[i]);
      }
    });
  }

  // Multiplies what is gathered into the gradients of the matrices, and adds those of parameters;
  // s: the last step that is gathered.
  static void flush(const ScanArgs& args, const MatrixArgs& m, BackwardRows& rows,
                    const MatrixTask& k, int64_t b0, int64_t batch, int64_t s) {
    const int64_t C = args.C;
    if (m.driven.channels) flush_drive(args, m, rows, k, b0, batch, s);
    R* const dw = static_cast<R*>(k.dmatrices);
    P::multiply({rows.dterms, 1, rows.term_row}, kEarly * C, rows.gathered, rows.multiplied,
                rows.capacity, C, dw, row(C), true);
    if constexpr (kLate > 0)
      P::multiply({rows.dterms + kEarly * C, 1, rows.term_row}, kLate * C, rows.gathered,
                  rows.inner, rows.capacity, C, dw + kEarly * C * row(C), row(C), true);
    rows.gathered = 0;
    for (int i = 0; i < kParams; ++i)
      for (int64_t c = 0; c < C; ++c) {
        R& sum = rows.dparams[i * row(C) + c];
        k.dparams[i * row(C) + c] += sum;
        sum = 0;
      }
  }

  // The same of the inputs' product, and the gradient of x.
  static void flush_drive(const ScanArgs& args, const MatrixArgs& m, const BackwardRows& rows,
                          const MatrixTask& k, int64_t b0, int64_t batch, int64_t s) {
    const int64_t C = args.C, I = m.driven.channels, width = kInputs * C;
    P::multiply({rows.ddrive, 1, rows.drive_row}, width, rows.gathered, rows.x, rows.capacity, I,
                static_cast<R*>(k.dw), row(I), true);
    P::multiply({rows.ddrive, rows.drive_row, 1}, rows.gathered, width, packed_drive(m, C, true),
                width, I, rows.dx, row(I), false);
    for (int64_t g = 0; g < rows.gathered; ++g) {
      const int64_t t = time_at(args, s + (rows.gathered - 1 - g) / batch);
      __builtin_memcpy(at<R>(m.driven.dx, b0 + g % batch, t), rows.dx + g * row(I), I * sizeof(R));
    }
    for_lanes<R>(width, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> sum{};
      for (int64_t g = 0; g < rows.gathered; ++g)
        sum += load_raw<V<N>>(rows.ddrive + g * rows.drive_row + c);
      double* const total = k.dbias + c;
      store_raw(total, load_raw<Vec<double, N>>(total) + convert<double, N>(sum));
    });
  }

  static void backward_some(ScanArgs args, const MatrixArgs& m, const MatrixTask& k, int64_t b0,
                            int64_t batch, Watch& watch) {
    const int64_t C = args.C, channels = m.driven.channels;
    Arena arena{reinterpret_cast<uintptr_t>(k.memory)};
    BackwardRows rows(arena, batch, C, channels);
    __builtin_memset(rows.adjoint, 0, batch * rows.state_row * sizeof(R));
    __builtin_memset(rows.dparams, 0, kParams * row(C) * sizeof(R));
    for (int64_t i = 0; i < batch; ++i)
      load_states(args, args.dh_last, b0 + i, rows.adjoint + i * rows.state_row);
    for (int64_t s = args.T - 1; s >= 0 && watch.go_on(work(batch, C, channels)); --s) {
      const int64_t t = time_at(args, s);
      if (rows.gathered + batch > rows.capacity) flush(args, m, rows, k, b0, batch, s + 1);
      if (channels)
        stream_rows(args.dinputs, rows.ddrive + rows.gathered * rows.drive_row, rows.drive_row, b0,
                    C);
      R* const dterms = rows.dterms + rows.gathered * rows.term_row;
      const auto kept = [&](int64_t i) { return at<R>(args.states, b0 + i, t); };
      if constexpr (kLate > 0) {
        for (int64_t i = 0; i < batch; ++i) {
          backward_late(args, b0 + i, t, kept(i), rows.adjoint + i * rows.state_row,
                        dterms + i * rows.term_row, rows.inner_row);
          P::pack_row(rows.inner_row, rows.capacity, C, rows.gathered + i, rows.inner);
        }
        P::multiply({dterms + kEarly * C, rows.term_row, 1}, batch, kLate * C,
                    packed_late(m, C, true), kLate * C, C, rows.dlate, row(C), false);
      }
      const int64_t next = s > 0 ? time_at(args, s - 1) : t;
      for (int64_t i = 0; i < batch; ++i) {
        prefetch(at<R>(args.states, b0 + i, next), (kSaved + kStates) * C * sizeof(R));
        prefetch(at<S>(args.dy, b0 + i, next), C * sizeof(S));
        if (channels) {
          P::pack_row(at<R>(m.driven.x, b0 + i, t), rows.capacity, channels, rows.gathered + i,
                      rows.x);
          prefetch(at<R>(m.driven.x, b0 + i, next), channels * sizeof(R));
        } else {
          for (int j = 0; j < kInputs; ++j)
            prefetch_to_write(at<S>(args.dinputs[j], b0 + i, next), C * sizeof(S));
        }
        backward_row(args, b0 + i, t, kept(i), rows.adjoint + i * rows.state_row,
                     rows.dlate + i * row(C), dterms + i * rows.term_row, rows.dparams);
        P::pack_row(kept(i) + kSaved * C, rows.capacity, C, rows.gathered + i, rows.multiplied);
      }
      P::multiply({dterms, rows.term_row, 1}, batch, kEarly * C, packed_early(m), kEarly * C, C,
                  rows.adjoint, rows.state_row, true);
      rows.gathered += batch;
      for (int64_t i = 0; i < batch; ++i)
        if (is_reset(args, b0 + i, t)) restart(args, k, b0 + i, rows.adjoint + i * rows.state_row);
    }
    if (!watch.stopped()) flush(args, m, rows, k, b0, batch, 0);
    for (int64_t i = 0; i < batch; ++i)
      store_states(args, rows.adjoint + i * rows.state_row, args.dh0, b0 + i);
  }

  // What came back to a reset goes to h_reset, and no further.
  static void restart(const ScanArgs& args, const MatrixTask& k, int64_t b, R* adjoint) {
    for (int i = 0; i < kStates; ++i, adjoint += row(args.C)) {
      if (k.dreset) {
        R* const sums = static_cast<R*>(k.dreset) + (b * kStates + i) * args.C;
        for (int64_t c = 0; c < args.C; ++c) sums[c] += adjoint[c];
      }
      __builtin_memset(adjoint, 0, args.C * sizeof(R));
    }
  }

  static void backward(const ScanArgs& args, const MatrixArgs& m, const MatrixTask& k,
                       Watch& watch) {
    for (int64_t b = k.b0; b < k.b1; b += kTogether)
      backward_some(args, m, k, b, k.b1 - b < kTogether ? k.b1 - b : kTogether, watch);
  }

  static MatrixKernels kernels() {
    return {matrix_shape<CellOf>(),
            !Cell::kPullsInputs,
            row,
            Rows::packed_bytes,
            Rows::pack,
            Rows::memory_bytes,
            forward,
            backward};
  }
};

using matrix_table = MatrixKernels;

template <template <class> class CellOf>
MatrixKernels matrix_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Matrix<CellOf, float, float>::kernels();
    case Storage::f64:
      return Matrix<CellOf, double, double>::kernels();
    case Storage::bf16:
      return Matrix<CellOf, BFloat16, float>::kernels();
    case Storage::f16:
      return Matrix<CellOf, Half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
