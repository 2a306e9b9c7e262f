// The rows that a pass keeps at hand: carries, parameters, the states at the ends of a sequence.
#pragma once

#include <new>

#include "streams.h"

namespace lrnn::LRNN_ISA {

// Calls steps.operator()<n, prefetching>() with the number of channels as a constant for rows of 16
// and 32 float32 channels, whose loops then unroll: narrow rows are short of work to hide the
// loops' own. Otherwise n is 0: known at run time only. prefetching: a loop for rows that are
// prefetched or copied, which those of constant width are not; a pass that does neither has no such
// loop to compile.
template <class Io, class Steps>
LRNN_HD void with_width(int64_t n, Steps&& steps) {
  if constexpr (sizeof(typename Io::S) == 4) {
    if (n == 16) return steps.template operator()<16, false>();
    if (n == 32) return steps.template operator()<32, false>();
  }
  steps.template operator()<0, false>();
}
template <class Io, class Steps>
LRNN_HD void with_width(int64_t n, Access access, Steps&& steps) {
  const bool fixed = sizeof(typename Io::S) == 4 && (n == 16 || n == 32);
  if (access == Access::copied || (access == Access::prefetched && !fixed))
    return steps.template operator()<0, true>();
  with_width<Io>(n, steps);
}

// A carry row of a pass of kFixed channels as a local that nothing else knows, which compilers then
// keep in registers: through memory, the state of a narrow row would take three times the latency
// of its arithmetic from step to step. Any other row stays where it is.
template <class R, int kPlanes_, int kFixed>
struct Held {
  static constexpr int kPlanes = kPlanes_;
  CarryRow<R, kPlanes>& home;
  alignas(64) R plane[kPlanes][kFixed];
  LRNN_HD explicit Held(CarryRow<R, kPlanes>& row) : home(row) {
    for (int i = 0; i < kPlanes; ++i) __builtin_memcpy(plane[i], row.plane[i], sizeof plane[i]);
  }
  LRNN_HD ~Held() {
    for (int i = 0; i < kPlanes; ++i) __builtin_memcpy(home.plane[i], plane[i], sizeof plane[i]);
  }
};
template <class R, int kPlanes_>
struct Held<R, kPlanes_, 0> {
  static constexpr int kPlanes = kPlanes_;
  R (&plane)[kPlanes][CarryRow<R, kPlanes>::kChannels];
  LRNN_HD explicit Held(CarryRow<R, kPlanes>& row) : plane(row.plane) {}
};

// Parameters and states at the ends of a sequence come in the carry type, complex ones interleaved
// or, for states of split streams, in two planes. These run once per task, not per step.
template <class Io, bool kInterleaved>
void load_boundary(Input x, const Task& k, CarryRow<typename Io::R, Io::kPlanes>& row) {
  const auto* p = static_cast<const typename Io::R*>(x.data);
  const int64_t n = k.c1 - k.c0;
  for (int plane = 0; plane < Io::kPlanes; ++plane) {
    auto* const to = row.plane[plane];
    if (!p)
      __builtin_memset(to, 0, n * sizeof *to);
    else if constexpr (kInterleaved && Io::kPlanes > 1)
      for (int64_t c = 0; c < n; ++c)
        to[c] = p[k.b * x.stride_b + (k.c0 + c) * Io::kPlanes + plane];
    else
      __builtin_memcpy(to, p + k.b * x.stride_b + k.c0 + plane * x.plane, n * sizeof *to);
  }
}
template <class Io>
void store_boundary(const CarryRow<typename Io::R, Io::kPlanes>& row, const Task& k, Output x) {
  auto* p = static_cast<typename Io::R*>(x.data);
  if (!p) return;
  const int64_t n = k.c1 - k.c0;
  for (int plane = 0; plane < Io::kPlanes; ++plane) {
    const auto* const from = row.plane[plane];
    if constexpr (Io::kScalars == 2)
      for (int64_t c = 0; c < n; ++c) p[k.b * x.stride_b + (k.c0 + c) * 2 + plane] = from[c];
    else
      __builtin_memcpy(p + k.b * x.stride_b + k.c0 + plane * x.plane, from, n * sizeof *from);
  }
}

// All parameters' rows.
template <class Io, int kParams>
struct ParamRows {
  CarryRow<typename Io::R, Io::kPlanes> row[kParams > 0 ? kParams : 1];
  LRNN_HD ParamRows(const ScanArgs& args, const Task& k) {
    for (int i = 0; i < kParams; ++i)
      load_boundary<Io, Io::kPlanes == 2>(args.params[i], k, row[i]);
  }
  template <int N>
  LRNN_HD void load(int64_t c, typename Io::template Value<N>* p) const {
    for (int i = 0; i < kParams; ++i) p[i] = Io::template load_carry<N>(row[i], c);
  }
};

// The rows of a pass.
template <class Io, int kCount, int kParams, int kCopies = 0>
struct alignas(kPage) PassRows {
  CarryRow<typename Io::R, Io::kPlanes> row[kCount];
  const ParamRows<Io, kParams> params;
  RowCopy<typename Io::S> copies[kCopies > 0 ? kCopies : 1];
  LRNN_HD PassRows(const ScanArgs& args, const Task& k) : params(args, k) {}
};

// The rows of a pass that stores more than it loads, in one piece (see kRowPitch) that begins a
// little behind the first input in its page. A load waits for stores shortly before it at the same
// place in a page, so each row should come by a place after all that load from there: outputs begin
// half a kilobyte away from the input (csrc/torch/outputs.cpp), and what is carried half way
// between. Else a forward pass that saves three states takes up to twice the time, by chance of
// where the stack and the input are.
template <class Rows>
struct Placed {
  static constexpr int64_t kPlaces = 1024, kBehind = 256;
  alignas(kPage) unsigned char room[sizeof(Rows) + kPlaces];
  Rows* const rows;
  Placed(const ScanArgs& args, const Task& k) : rows(new (room + place(args)) Rows(args, k)) {}
  Placed(const Placed&) = delete;

  static int64_t place(const ScanArgs& args) {
    const int64_t first = reinterpret_cast<intptr_t>(args.inputs[0].data);
    return (first + (args.reverse ? kBehind : -kBehind)) & (kPlaces - 64);
  }
};

// A row at the start of a sequence or a reset, rounded to the storage of what a later step reads of
// its predecessor, so that a sequence cut in two has the very gradients of the whole.
template <class Io>
struct StoredRow {
  static constexpr int64_t kPlane = CarryRow<typename Io::R, Io::kPlanes>::kChannels;
  alignas(64) typename Io::S data[Io::kPlanes * kPlane];
  StoredRow(const CarryRow<typename Io::R, Io::kPlanes>& row, int64_t n) {
    for_lanes<typename Io::R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      Io::template store_value<N>(data, c, kPlane, Io::template load_carry<N>(row, c));
    });
  }
};

// Steps between two additions of float32 parameter gradients into double: bounds the rounding of
// long sums.
inline constexpr int kFlush = 64;

// The time of a scan step.
LRNN_HD int64_t time_at(const ScanArgs& args, int64_t s) {
  return args.reverse ? args.T - 1 - s : s;
}

// The first n channels of a row: set to a real number, copied, added to sums. In whole registers,
// as all row operations: compilers are not asked to find them.
template <class Row, class R>
LRNN_HD void set_row(Row& row, int64_t n, R re) {
  for (int plane = 0; plane < Row::kPlanes; ++plane) {
    const R value = plane == 0 ? re : R(0);
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      store_raw(&row.plane[plane][c], Vec<R, N>{} + value);
    });
  }
}
template <class From, class To>
LRNN_HD void copy_row(const From& from, int64_t n, To& to) {
  for (int plane = 0; plane < To::kPlanes; ++plane)
    __builtin_memcpy(to.plane[plane], from.plane[plane], n * sizeof to.plane[0][0]);
}
template <class R, class Row>
LRNN_HD void add_row(const Row& row, int64_t n, double* sums, int64_t stride) {
  for (int plane = 0; plane < Row::kPlanes; ++plane)
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      double* const sum = sums + plane * stride + c;
      store_raw(sum, load_raw<Vec<double, N>>(sum) +
                         convert<double, N>(load_raw<Vec<R, N>>(&row.plane[plane][c])));
    });
}

// Adds n channels of a row to sums and clears them: in whole registers, like a pass, or compilers
// would keep the rows of narrow passes in memory.
template <class R, class Row>
LRNN_HD void flush_row(Row& row, int64_t n, double* sums, int64_t stride) {
  for (int plane = 0; plane < Row::kPlanes; ++plane)
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      double* const sum = sums + plane * stride + c;
      store_raw(sum, load_raw<Vec<double, N>>(sum) +
                         convert<double, N>(load_raw<Vec<R, N>>(&row.plane[plane][c])));
      store_raw(&row.plane[plane][c], Vec<R, N>{});
    });
}

// The carries between the pieces of a split sequence: [plane][channels] of the carry type.
template <class R, int kPlanes>
void load_carry_row(const void* from, int64_t n, CarryRow<R, kPlanes>& row) {
  for (int plane = 0; plane < kPlanes; ++plane)
    __builtin_memcpy(row.plane[plane], static_cast<const R*>(from) + plane * n, n * sizeof(R));
}
template <class R, int kPlanes>
void store_carry_row(const CarryRow<R, kPlanes>& row, int64_t n, void* to) {
  for (int plane = 0; plane < kPlanes; ++plane)
    __builtin_memcpy(static_cast<R*>(to) + plane * n, row.plane[plane], n * sizeof(R));
}

// The carry row of a task as it begins and ends: handed over by the pieces around it, or at the
// sequence's own ends.
template <class Io, bool kInterleaved>
void begin_carry(Input boundary, const Task& k, CarryRow<typename Io::R, Io::kPlanes>& row) {
  if (k.carry_in)
    load_carry_row(k.carry_in, k.c1 - k.c0, row);
  else
    load_boundary<Io, kInterleaved>(boundary, k, row);
}
template <class Io>
void end_carry(const CarryRow<typename Io::R, Io::kPlanes>& row, const Task& k, Output boundary) {
  if (k.carry_out)
    store_carry_row(row, k.c1 - k.c0, k.carry_out);
  else
    store_boundary<Io>(row, k, boundary);
}

}  // namespace lrnn::LRNN_ISA
