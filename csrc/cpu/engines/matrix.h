// The matrix engine: a matrix cell's products and the elementwise part around them, for some batch
// elements and all of time. Nothing waits for another thread.
//
// A step takes one product of all its batch elements with the packed matrices, or two of a cell
// with late terms, and walks their rows. The matrices' gradients are products over many steps: the
// gradients of terms, and what was multiplied, are gathered row by row, and multiplied once there
// are kGathered of them.
#pragma once

#include "../../cells/matrix_cell.h"
#include "../lanes/rows.h"
#include "../matrix.h"
#include "../products.h"

namespace lrnn::LRNN_ISA {

// Batch elements that go through time together: their rows stay in cache.
inline constexpr int64_t kTogether = 32;
// Rows gathered before they are multiplied: a panel of so many lies in the L1 cache.
inline constexpr int64_t kGathered = 128;
static_assert(kTogether <= kGathered);

// Memory, handed out in whole cache lines.
struct Arena {
  uintptr_t at;
  template <class R>
  R* take(int64_t count) {
    const uintptr_t taken = at;
    at += (count * sizeof(R) + 63) / 64 * 64;
    return reinterpret_cast<R*>(taken);
  }
};

// The size of an array that may be empty.
constexpr int some(int count) { return count > 0 ? count : 1; }

template <template <class> class CellOf, class S, class R>
struct Matrix {
  using Cell = CellOf<R>;
  using P = Products<R>;
  template <int N>
  using V = Vec<R, N>;

  static constexpr int kTerms = Cell::kTerms, kLate = Cell::kLate, kEarly = kTerms - kLate,
                       kStates = Cell::kStates, kSaved = Cell::kSaved, kGates = Cell::kGates,
                       kInputs = Cell::kInputs, kParams = Cell::kParams;
  static_assert(kTerms <= kMaxTerms && kInputs <= kMaxInputs);

  // The matrices. Forward, a row of states is multiplied with their transpose, (C, terms C);
  // backward, a row of gradients of terms with themselves, (terms C, C). Those of the late terms
  // lie behind the others.

  static int64_t packed_numbers(int64_t C, bool backward, int terms) {
    return backward ? P::packed_size(terms * C, C) : P::packed_size(C, terms * C);
  }
  static int64_t packed_before_drive(int64_t C, bool backward) {
    return packed_numbers(C, backward, kEarly) + packed_numbers(C, backward, kLate);
  }
  static int64_t packed_bytes(int64_t C, int64_t channels, bool backward) {
    const int64_t drive =
        backward ? P::packed_size(kInputs * C, channels) : P::packed_size(channels, kInputs * C);
    return (packed_before_drive(C, backward) + drive) * static_cast<int64_t>(sizeof(R));
  }
  static const R* packed_early(const MatrixArgs& m) { return static_cast<const R*>(m.packed); }
  static const R* packed_late(const MatrixArgs& m, int64_t C, bool backward) {
    return packed_early(m) + packed_numbers(C, backward, kEarly);
  }
  static const R* packed_drive(const MatrixArgs& m, int64_t C, bool backward) {
    return packed_early(m) + packed_before_drive(C, backward);
  }
  static void pack(const MatrixArgs& m, int64_t C, bool backward, int block, void* to) {
    if (block == kTerms) {
      const int64_t I = m.driven.channels;
      R* const packed = static_cast<R*>(to) + packed_before_drive(C, backward);
      const R* const w = static_cast<const R*>(m.driven.w);
      if (backward)
        for (int64_t k = 0; k < kInputs * C; ++k) P::pack_row(w + k * I, kInputs * C, I, k, packed);
      else
        P::pack_columns({w, 1, I}, I, kInputs * C, 0, kInputs * C, packed);
      return;
    }
    const bool late = kLate > 0 && block >= kEarly;
    const int terms = late ? kLate : kEarly, i = late ? block - kEarly : block;
    R* const packed = static_cast<R*>(to) + (late ? packed_numbers(C, backward, kEarly) : 0);
    const R* const w = static_cast<const R*>(m.blocks[block]);
    if (backward)
      for (int64_t k = 0; k < C; ++k) P::pack_row(w + k * C, terms * C, C, i * C + k, packed);
    else
      P::pack_columns({w, 1, C}, C, C, i * C, terms * C, packed);
  }

  // Rows. A state, a term or a parameter takes row(C) numbers, or a whole row of products does: the
  // products write whole registers.

  static int64_t row(int64_t C) { return padded<R>(C); }

  struct ForwardRows {
    int64_t state_row, early_row, late_row, gates_row, drive_row;
    R *h, *early, *inner, *late, *gates, *drive;
    ForwardRows(Arena& arena, int64_t batch, int64_t C, int64_t channels)
        : state_row(kStates * row(C)),
          early_row(row(kEarly * C)),
          late_row(row(kLate * C)),
          gates_row(kGates * C),
          drive_row(channels ? row(kInputs * C) : 0),
          h(arena.take<R>(batch * state_row)),
          early(arena.take<R>(batch * early_row)),
          inner(arena.take<R>(kLate ? batch * row(C) : 0)),
          late(arena.take<R>(batch * late_row)),
          gates(arena.take<R>(batch * gates_row)),
          drive(arena.take<R>(batch * drive_row)) {}
  };

  struct BackwardRows {
    int64_t state_row, term_row, drive_row, capacity;
    R *adjoint, *dlate, *dterms, *multiplied, *inner, *inner_row, *dparams;
    R *ddrive, *x, *dx;  // of a driven pass
    int64_t gathered = 0;
    BackwardRows(Arena& arena, int64_t batch, int64_t C, int64_t channels)
        : state_row(kStates * row(C)),
          term_row(row(kTerms * C)),
          drive_row(channels ? row(kInputs * C) : 0),
          capacity(kGathered / batch * batch),
          adjoint(arena.take<R>(batch * state_row)),
          dlate(arena.take<R>(kLate ? batch * row(C) : 0)),
          dterms(arena.take<R>(kGathered * term_row)),
          multiplied(arena.take<R>(P::packed_size(kGathered, C))),
          inner(arena.take<R>(kLate ? P::packed_size(kGathered, C) : 0)),
          inner_row(arena.take<R>(kLate ? row(C) : 0)),
          dparams(arena.take<R>(kParams * row(C))),
          ddrive(arena.take<R>(kGathered * drive_row)),
          x(arena.take<R>(P::packed_size(kGathered, channels))),
          dx(arena.take<R>(kGathered * row(channels))) {}
  };

  static int64_t memory_bytes(int64_t batch, int64_t C, int64_t channels, bool backward) {
    if (batch == 0) return 0;
    const int64_t together = batch < kTogether ? batch : kTogether;
    Arena arena{0};
    if (backward)
      BackwardRows(arena, together, C, channels);
    else
      ForwardRows(arena, together, C, channels);
    return static_cast<int64_t>(arena.at);
  }

  template <class T, class Void>
  static auto* at(const Stream<Void>& x, int64_t b, int64_t t) {
    using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;
    return static_cast<Element*>(x.data) + (b * x.stride_b + t * x.stride_t);
  }

  static bool is_reset(const ScanArgs& args, int64_t b, int64_t t) {
    return args.reset.data && *at<uint8_t>(args.reset, b, t);
  }

  // States of batch element b, zero where there are none, into a row; and back.
  static void load_states(const ScanArgs& args, const Input& states, int64_t b, R* to) {
    for (int i = 0; i < kStates; ++i, to += row(args.C)) {
      if (states.data)
        __builtin_memcpy(to, at<R>(states, b, 0) + i * args.C, args.C * sizeof(R));
      else
        __builtin_memset(to, 0, args.C * sizeof(R));
    }
  }
  static void store_states(const ScanArgs& args, const R* from, const Output& states, int64_t b) {
    for (int i = 0; i < kStates; ++i, from += row(args.C))
      __builtin_memcpy(at<R>(states, b, 0) + i * args.C, from, args.C * sizeof(R));
  }

  // Asks for a row of so many bytes, which is walked a step later: rows of a batch element lie side
  // by side in memory, but there are too many of them for the hardware to see it.
  LRNN_HD static void prefetch(const void* row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64)
      __builtin_prefetch(static_cast<const char*>(row) + i, 0, 2);
  }
  LRNN_HD static void prefetch_to_write(const void* row, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64)
      __builtin_prefetch(static_cast<const char*>(row) + i, 1, 2);
  }

  // What a step takes, in the watch's elements.
  static int64_t work(int64_t batch, int64_t C) {
    constexpr int64_t kProducts = 50;  // a nanosecond
    return batch * C * (8 + kTerms * C / kProducts);
  }

  // Values of several planes at channel c.
  template <int N, int kCount>
  LRNN_HD static void load_planes(const R* from, int64_t plane, int64_t c, V<N>* to) {
    for (int i = 0; i < kCount; ++i) to[i] = load_raw<V<N>>(from + i * plane + c);
  }
  template <int N, int kCount>
  LRNN_HD static void store_planes(const V<N>* from, R* to, int64_t plane, int64_t c) {
    for (int i = 0; i < kCount; ++i) store_raw(to + i * plane + c, from[i]);
  }
  template <int N>
  LRNN_HD static void load_inputs(const ScanArgs& args, int64_t b, int64_t t, int64_t c, V<N>* x) {
    for (int i = 0; i < kInputs; ++i) x[i] = load<V<N>>(at<S>(args.inputs[i], b, t) + c);
  }
  template <int N>
  LRNN_HD static void load_params(const ScanArgs& args, int64_t c, V<N>* p) {
    for (int i = 0; i < kParams; ++i)
      p[i] = load_raw<V<N>>(static_cast<const R*>(args.params[i].data) + c);
  }

  // Products of all rows x with the blocks [first, first + terms), forward.
  static void multiply(const MatrixArgs& m, int64_t C, int first, int terms, const R* x,
                       int64_t x_row, int64_t batch, R* y, int64_t y_row) {
    if (m.packed) {
      const R* const w = first ? packed_late(m, C, false) : packed_early(m);
      P::multiply({x, x_row, 1}, batch, C, w, C, terms * C, y, y_row, false);
      return;
    }
    for (int i = 0; i < terms; ++i)
      P::multiply_few(x, x_row, batch, C, static_cast<const R*>(m.blocks[first + i]), C, C,
                      y + i * C, y_row);
  }

  static void forward_gates(const ScanArgs& args, int64_t b, int64_t t, const R* h, const R* early,
                            R* gates, R* inner) {
    const int64_t C = args.C;
    for_lanes<R>(C, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      V<N> x[kInputs], q[kTerms], before[kStates], saved[some(kSaved)];
      load_inputs<N>(args, b, t, c, x);
      load_planes<N, kEarly>(early, C, c, q);
      load_planes<N, kStates>(h, row(C), c, before);
      Cell::gates(x, q, saved);
      store_planes<N, kGates>(saved, gates, C, c);
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
      load_inputs<N>(args, b, t, c, x);
      load_planes<N, kEarly>(early, C, c, q);
      load_planes<N, kLate>(late, C, c, q + kEarly);
      load_params<N>(args, c, p);
      load_planes<N, kStates>(h, row(C), c, before);
      load_planes<N, kGates>(gates, C, c, saved);
      Cell::step(x, q, p, before, after, y, saved);
      store_planes<N, kStates>(after, h, row(C), c);
      store(y_row + c, y);
      if (kept) {
        store_planes<N, kSaved - kGates>(saved + kGates, kept + kGates * C, C, c);
        store_planes<N, kStates>(before, kept + kSaved * C, C, c);
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
    if (m.packed) {
      for (int64_t i = 0; i < batch; ++i)
        __builtin_memcpy(rows.drive + i * rows.drive_row, d.bias, width * sizeof(R));
      P::multiply({x, d.x.stride_b, 1}, batch, d.channels, packed_drive(m, C, false), d.channels,
                  width, rows.drive, rows.drive_row, true);
      return;
    }
    P::multiply_few(x, d.x.stride_b, batch, d.channels, static_cast<const R*>(d.w), d.channels,
                    width, rows.drive, rows.drive_row);
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t c = 0; c < width; ++c)
        rows.drive[i * rows.drive_row + c] += static_cast<const R*>(d.bias)[c];
  }

  static void forward_some(ScanArgs args, const MatrixArgs& m, int64_t b0, int64_t batch,
                           void* memory, Watch& watch) {
    const int64_t C = args.C, channels = m.driven.channels;
    Arena arena{reinterpret_cast<uintptr_t>(memory)};
    const ForwardRows rows(arena, batch, C, channels);
    if (channels) stream_rows(args.inputs, rows.drive, rows.drive_row, b0, C);
    for (int64_t i = 0; i < batch; ++i)
      load_states(args, args.h0, b0 + i, rows.h + i * rows.state_row);
    for (int64_t s = 0; s < args.T && watch.go_on(work(batch, C)); ++s) {
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
      if (Cell::kPullsInputs) load_inputs<N>(args, b, t, c, x);
      load_params<N>(args, c, p);
      load_planes<N, kSaved>(kept, C, c, saved);
      load_planes<N, kStates>(kept + kSaved * C, C, c, before);
      load_planes<N, kStates>(adjoint, row(C), c, after);
      Cell::pull_late(x, p, saved, before, load<V<N>>(dy_row + c), after, dq);
      store_planes<N, kLate>(dq + kEarly, dterms + kEarly * C, C, c);
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
      if (Cell::kPullsInputs) load_inputs<N>(args, b, t, c, x);
      load_params<N>(args, c, p);
      load_planes<N, kSaved>(kept, C, c, saved);
      load_planes<N, kStates>(kept + kSaved * C, C, c, before);
      load_planes<N, kStates>(adjoint, row(C), c, d);
      if (kLate > 0) {
        load_planes<N, kLate>(dterms + kEarly * C, C, c, dq + kEarly);
        through = load_raw<V<N>>(dlate + c);
      }
      Cell::pullback(x, p, saved, before, through, load<V<N>>(dy_row + c), d, dx, dq, dp);
      store_planes<N, kStates>(d, adjoint, row(C), c);
      store_planes<N, kEarly>(dq, dterms, C, c);
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
    for (int64_t s = args.T - 1; s >= 0 && watch.go_on(work(batch, C)); --s) {
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
    return {matrix_shape<CellOf>(), row, packed_bytes, pack, memory_bytes, forward, backward};
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
