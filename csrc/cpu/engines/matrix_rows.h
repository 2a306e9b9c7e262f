// What both passes of the matrix engine share: the packed matrices, the rows that a pass walks, and
// how a cell's values are loaded and stored.
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

template <class T, class Void>
auto* at(const Stream<Void>& x, int64_t b, int64_t t) {
  using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;
  return static_cast<Element*>(x.data) + (b * x.stride_b + t * x.stride_t);
}

// Asks for a row of so many bytes, which is walked a step later: rows of a batch element lie side
// by side in memory, but there are too many of them for the hardware to see it.
LRNN_HD void prefetch(const void* row, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64)
    __builtin_prefetch(static_cast<const char*>(row) + i, 0, 2);
}
LRNN_HD void prefetch_to_write(const void* row, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64)
    __builtin_prefetch(static_cast<const char*>(row) + i, 1, 2);
}

// Values of several planes, inputs or parameters at channel c.
template <int kCount, class R, class V>
LRNN_HD void load_planes(const R* from, int64_t plane, int64_t c, V* to) {
  for (int i = 0; i < kCount; ++i) to[i] = load_raw<V>(from + i * plane + c);
}
template <int kCount, class R, class V>
LRNN_HD void store_planes(const V* from, R* to, int64_t plane, int64_t c) {
  for (int i = 0; i < kCount; ++i) store_raw(to + i * plane + c, from[i]);
}
template <int kCount, class S, class V>
LRNN_HD void load_inputs(const ScanArgs& args, int64_t b, int64_t t, int64_t c, V* x) {
  for (int i = 0; i < kCount; ++i) x[i] = load<V>(at<S>(args.inputs[i], b, t) + c);
}
template <int kCount, class V>
LRNN_HD void load_params(const ScanArgs& args, int64_t c, V* p) {
  for (int i = 0; i < kCount; ++i)
    p[i] = load_raw<V>(static_cast<const Scalar<V>*>(args.params[i].data) + c);
}

template <template <class> class CellOf, class S, class R>
struct MatrixRows {
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
        P::pack_columns(w, I, kInputs * C, 0, kInputs * C, packed);
      return;
    }
    const bool late = kLate > 0 && block >= kEarly;
    const int terms = late ? kLate : kEarly, i = late ? block - kEarly : block;
    R* const packed = static_cast<R*>(to) + (late ? packed_numbers(C, backward, kEarly) : 0);
    const R* const w = static_cast<const R*>(m.blocks[block]);
    if (backward)
      for (int64_t k = 0; k < C; ++k) P::pack_row(w + k * C, terms * C, C, i * C + k, packed);
    else
      P::pack_columns(w, C, C, i * C, terms * C, packed);
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

  // What a step takes, in the watch's elements.
  static int64_t work(int64_t batch, int64_t C, int64_t channels) {
    constexpr int64_t kProducts = 50;  // a nanosecond
    return batch * C * (8 + (kTerms * C + kInputs * channels) / kProducts);
  }
};

}  // namespace lrnn::LRNN_ISA
