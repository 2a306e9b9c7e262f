// Rows of channels: how one row of a stream is addressed, loaded and stored (Io), and how a row is walked lane by lane.
#pragma once

#include "args.h"
#include "simd.h"

namespace lrnn::LRNN_ISA {

// Channels that one task carries: a state row of 4 KiB, so that a handful of them stay in a 32 KiB L1 cache.
inline constexpr int64_t kRowBytes = 4096;

// Covers every c in [0, n) once, kTogether full registers at a time, then single ones, then 16-byte registers, then single channels:
// body.operator()<lanes, registers>(c), or body.operator()<lanes>(c) if kTogether is 0. Descending, a row is walked downwards,
// since hardware prefetchers lose a reverse scan that jumps up at every row, but upwards within two cache lines.
template <class R, int kTogether = 0, class Body>
LRNN_HD void for_lanes(int64_t n, bool descending, Body&& body) {
  constexpr int64_t kWide = kVectorBytes / sizeof(R), kNarrow = 16 / sizeof(R), kSpan = 128 / sizeof(R);
  const int64_t spans = n - n % kSpan, wide = n - n % kWide, narrow = n - n % kNarrow;
  const int64_t step = descending ? -kSpan : kSpan;
  const auto call = [&]<int kLanes, int kRegisters>(int64_t c) __attribute__((always_inline)) {
    if constexpr (kTogether == 0)
      body.template operator()<kLanes>(c);
    else
      body.template operator()<kLanes, kRegisters>(c);
  };
  constexpr int kMany = kTogether > 1 ? kTogether : 1;
  int64_t c = descending ? spans - kSpan : 0;
  for (int64_t i = 0; i < spans; i += kSpan, c += step)
    for (int64_t j = c; j < c + kSpan; j += kMany * kWide) call.template operator()<kWide, kMany>(j);
  for (c = spans; c < wide; c += kWide) call.template operator()<kWide, 1>(c);
  if constexpr (kNarrow < kWide)
    for (c = wide; c < narrow; c += kNarrow) call.template operator()<kNarrow, 1>(c);
  for (c = narrow; c < n; ++c) call.template operator()<1, 1>(c);
}

// A row in the carry type, in L1: one plane for real values, two for complex ones.
template <class R, int kPlanes>
struct alignas(64) CarryRow {
  static constexpr int64_t kChannels = kRowBytes / sizeof(R);
  R plane[kPlanes][kChannels];
};

// Real values of storage S (float, double, BFloat16, Half), carried as R.
template <class S_, class R_>
struct RealIo {
  using S = S_;
  using R = R_;
  static constexpr int kPlanes = 1;
  static constexpr int kScalars = 1;  // storage scalars per channel and plane
  template <int N>
  using Value = Vec<R, N>;

  template <int N>
  LRNN_HD static Value<N> load_value(const S* row, int64_t c, int64_t) {
    return load<Value<N>>(row + c);
  }
  template <int N>
  LRNN_HD static void store_value(S* row, int64_t c, int64_t, Value<N> v) {
    store(row + c, v);
  }
  template <int N>
  LRNN_HD static Value<N> load_carry(const CarryRow<R, 1>& row, int64_t c) {
    return load_raw<Value<N>>(&row.plane[0][c]);
  }
  template <int N>
  LRNN_HD static void store_carry(CarryRow<R, 1>& row, int64_t c, Value<N> v) {
    store_raw(&row.plane[0][c], v);
  }
};

// Complex values of storage S, carried as R: re and im alternating (S is R then), or in two planes.
template <class S_, class R_, bool kSplit>
struct ComplexIo {
  using S = S_;
  using R = R_;
  static constexpr int kPlanes = 2;
  static constexpr int kScalars = kSplit ? 1 : 2;
  template <int N>
  using Value = Complex<Vec<R, N>>;

  template <int N>
  LRNN_HD static Value<N> load_value(const S* row, int64_t c, int64_t plane) {
    using V = Vec<R, N>;
    if constexpr (kSplit)
      return {load<V>(row + c), load<V>(row + plane + c)};
    else
      return load_interleaved<V>(row + 2 * c);
  }
  template <int N>
  LRNN_HD static void store_value(S* row, int64_t c, int64_t plane, Value<N> v) {
    if constexpr (kSplit) {
      store(row + c, v.re);
      store(row + plane + c, v.im);
    } else {
      store_interleaved(row + 2 * c, v);
    }
  }
  template <int N>
  LRNN_HD static Value<N> load_carry(const CarryRow<R, 2>& row, int64_t c) {
    return {load_raw<Vec<R, N>>(&row.plane[0][c]), load_raw<Vec<R, N>>(&row.plane[1][c])};
  }
  template <int N>
  LRNN_HD static void store_carry(CarryRow<R, 2>& row, int64_t c, Value<N> v) {
    store_raw(&row.plane[0][c], v.re);
    store_raw(&row.plane[1][c], v.im);
  }
};

// The address of a stream's row at (b, t), moved to channel c0.
template <class Io, class Void>
LRNN_HD auto row_at(const Stream<Void>& x, int64_t b, int64_t t, int64_t c0) {
  if constexpr (__is_same(Void, const void)) {
    return static_cast<const typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t + c0 * Io::kScalars;
  } else {
    return static_cast<typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t + c0 * Io::kScalars;
  }
}

// In a pass upwards in time, asks for the row after t ahead of its use, if the rows of the stream do not follow one another in
// memory (a slice of wider rows, or one of two planes): hardware prefetchers run on past the end of a row into what is not needed.
// Worth 1.1 to 1.3 times; downwards, where they behave differently, it costs as much.
template <class Io>
LRNN_HD void prefetch_next_row(const Input& x, const Task& k, int64_t t, bool upwards) {
  const int64_t scalars = (k.c1 - k.c0) * Io::kScalars;
  if (!upwards || x.stride_t == scalars || x.stride_t == 0) return;
  const auto* row = row_at<Io>(x, k.b, t + 1, k.c0);
  constexpr int64_t kLine = 64 / sizeof(typename Io::S);
  for (int plane = 0; plane < Io::kPlanes / Io::kScalars; ++plane)
    for (int64_t c = 0; c < scalars; c += kLine) __builtin_prefetch(row + plane * x.plane + c);
}

// Where a kernel writes one output row: in place, or, if outputs bypass the caches, in L1 first, from where the finished row is
// streamed. One pass through L1 is cheap, lets every store be an ordinary one, and fills cache lines whole and in order whatever
// the element size and the direction of the scan.
template <class Io>
struct OutputRow {
  using S = typename Io::S;
  static constexpr int64_t kPlane = kRowBytes / sizeof(typename Io::R) * Io::kScalars;
  alignas(64) S staged[kPlane * (Io::kPlanes / Io::kScalars)];
  const Output* out;
  S* target;  // the row in memory
  S* data;    // the row to write
  int64_t plane;

  LRNN_HD void begin(const ScanArgs& args, const Output& output, const Task& k, int64_t t) {
    out = &output;
    target = row_at<Io>(output, k.b, t, k.c0);
    data = args.nontemporal ? staged : target;
    plane = args.nontemporal ? kPlane : output.plane;
  }
  LRNN_HD void finish(const ScanArgs& args, int64_t n) const {
    if (!args.nontemporal) return;
    for (int i = 0; i < Io::kPlanes / Io::kScalars; ++i)
      stream_lines(staged + i * kPlane, target + i * out->plane, n * Io::kScalars * sizeof(S));
  }
};

// Parameters and states at the ends of a sequence come in the carry type, complex ones interleaved or, for states of split
// streams, in two planes. These run once per task, not per step.
template <class Io, bool kInterleaved>
void load_ends(const Input& x, const Task& k, CarryRow<typename Io::R, Io::kPlanes>& row) {
  const auto* p = static_cast<const typename Io::R*>(x.data);
  constexpr int kStep = kInterleaved ? Io::kPlanes : 1;
  for (int plane = 0; plane < Io::kPlanes; ++plane)
    for (int64_t c = 0; c < k.c1 - k.c0; ++c)
      row.plane[plane][c] = p ? p[k.b * x.stride_b + (k.c0 + c) * kStep + plane * (kInterleaved ? 1 : x.plane)] : 0;
}
template <class Io>
void store_ends(const CarryRow<typename Io::R, Io::kPlanes>& row, const Task& k, const Output& x) {
  auto* p = static_cast<typename Io::R*>(x.data);
  if (!p) return;
  for (int plane = 0; plane < Io::kPlanes; ++plane)
    for (int64_t c = 0; c < k.c1 - k.c0; ++c)
      p[k.b * x.stride_b + (k.c0 + c) * Io::kScalars + plane * (Io::kScalars == 2 ? 1 : x.plane)] = row.plane[plane][c];
}

// The carries between the pieces of a split sequence: [plane][channels] of the carry type.
template <class R, int kPlanes>
void load_carry_row(const void* from, int64_t n, CarryRow<R, kPlanes>& row) {
  for (int plane = 0; plane < kPlanes; ++plane) __builtin_memcpy(row.plane[plane], static_cast<const R*>(from) + plane * n, n * sizeof(R));
}
template <class R, int kPlanes>
void store_carry_row(const CarryRow<R, kPlanes>& row, int64_t n, void* to) {
  for (int plane = 0; plane < kPlanes; ++plane) __builtin_memcpy(static_cast<R*>(to) + plane * n, row.plane[plane], n * sizeof(R));
}

}  // namespace lrnn::LRNN_ISA
