// Rows of channels: how a row is walked lane by lane, and how its values are loaded and stored
// (Io).
#pragma once

#include "../../args.h"
#include "simd.h"

namespace lrnn::LRNN_ISA {

// Channels that one task carries: a state row of 4 KiB, so that a handful of them stay in a 32 KiB
// L1 cache.
inline constexpr int64_t kRowBytes = 4096;
// How far apart rows lie. Were it 4 KiB, the rows of few channels would all fall into the same few
// sets of the L1 cache, and what is stored to one would delay what is loaded from the next:
// processors tell by the low 12 bits of two addresses whether they may be the same. That costs up
// to three times the time, or nothing, by chance of the physical pages. So the rows that a pass
// walks lie in one piece, which begins at a page: wherever the stack is, they lie the same way
// beside one another, and beside the streams.
inline constexpr int64_t kRowPitch = kRowBytes + 1024, kPage = 4096;

// Covers every c in [0, n) once, kTogether full registers at a time, then single ones, then 16-byte
// registers, then single channels: body.operator()<lanes, registers>(c), or
// body.operator()<lanes>(c) if kTogether is 0. Descending, a row is walked downwards, since
// hardware prefetchers lose a reverse scan that jumps up at every row, but upwards within two cache
// lines.
template <class R, int kTogether = 0, class Body>
LRNN_HD void for_lanes(int64_t n, bool descending, Body&& body) {
  constexpr int64_t kWide = kVectorBytes / sizeof(R), kNarrow = 16 / sizeof(R),
                    kSpan = 128 / sizeof(R);
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
    for (int64_t j = c; j < c + kSpan; j += kMany * kWide)
      call.template operator()<kWide, kMany>(j);
  for (c = spans; c < wide; c += kWide) call.template operator()<kWide, 1>(c);
  if constexpr (kNarrow < kWide)
    for (c = wide; c < narrow; c += kNarrow) call.template operator()<kNarrow, 1>(c);
  for (c = narrow; c < n; ++c) call.template operator()<1, 1>(c);
}

// A row in the carry type, in L1: one plane for real values, two for complex ones.
template <class R, int kPlanes_>
struct alignas(64) CarryRow {
  static constexpr int kPlanes = kPlanes_;
  static constexpr int64_t kChannels = kRowPitch / sizeof(R);
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
  LRNN_HD static Value<N> load_value(const S* const* rows, int64_t c) {
    return load<Value<N>>(rows[0] + c);
  }
  template <int N>
  LRNN_HD static void store_value(S* row, int64_t c, int64_t, Value<N> v,
                                  bool past_caches = false) {
    store(row + c, v, past_caches);
  }
  // Two registers side by side, as one where that is faster.
  static constexpr bool kPairs = __is_same(S, BFloat16);
  template <int N>
  LRNN_HD static void load_two(const S* const* rows, int64_t c, Value<N>* v) {
    load_pair(rows[0] + c, v);
  }
  template <int N>
  LRNN_HD static void store_two(S* row, int64_t c, int64_t, const Value<N>* v, bool past_caches) {
    store_pair(row + c, v, past_caches);
  }
  template <int N, class Row>
  LRNN_HD static Value<N> load_carry(const Row& row, int64_t c) {
    return load_raw<Value<N>>(&row.plane[0][c]);
  }
  template <int N, class Row>
  LRNN_HD static void store_carry(Row& row, int64_t c, Value<N> v) {
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
  LRNN_HD static Value<N> load_value(const S* const* rows, int64_t c) {
    using V = Vec<R, N>;
    if constexpr (kSplit)
      return {load<V>(rows[0] + c), load<V>(rows[1] + c)};
    else
      return load_interleaved<V>(rows[0] + 2 * c);
  }
  template <int N>
  LRNN_HD static void store_value(S* row, int64_t c, int64_t plane, Value<N> v,
                                  bool past_caches = false) {
    if constexpr (kSplit) {
      store(row + c, v.re, past_caches);
      store(row + plane + c, v.im, past_caches);
    } else {
      store_interleaved(row + 2 * c, v, past_caches);
    }
  }
  static constexpr bool kPairs = kSplit && __is_same(S, BFloat16);
  template <int N>
  LRNN_HD static void load_two(const S* const* rows, int64_t c, Value<N>* v) {
    Vec<R, N> re[2], im[2];
    load_pair(rows[0] + c, re);
    load_pair(rows[1] + c, im);
    for (int i = 0; i < 2; ++i) v[i] = {re[i], im[i]};
  }
  template <int N>
  LRNN_HD static void store_two(S* row, int64_t c, int64_t plane, const Value<N>* v,
                                bool past_caches) {
    const Vec<R, N> re[] = {v[0].re, v[1].re}, im[] = {v[0].im, v[1].im};
    store_pair(row + c, re, past_caches);
    store_pair(row + plane + c, im, past_caches);
  }
  template <int N, class Row>
  LRNN_HD static Value<N> load_carry(const Row& row, int64_t c) {
    return {load_raw<Vec<R, N>>(&row.plane[0][c]), load_raw<Vec<R, N>>(&row.plane[1][c])};
  }
  template <int N, class Row>
  LRNN_HD static void store_carry(Row& row, int64_t c, Value<N> v) {
    store_raw(&row.plane[0][c], v.re);
    store_raw(&row.plane[1][c], v.im);
  }
};

// Whether U registers that are worked on together are loaded and stored as one.
template <class Io, int U>
inline constexpr bool kAsOne = false;
template <class Io>
  requires Io::kPairs
inline constexpr bool kAsOne<Io, 2> = true;

// Several real values per channel, each a plane of its own.
template <class V, int kPlanes>
struct Planes {
  V plane[kPlanes];
};
template <class S_, class R_, int kPlanes_>
struct PlanesIo {
  using S = S_;
  using R = R_;
  static constexpr int kPlanes = kPlanes_;
  static constexpr int kScalars = 1;
  template <int N>
  using Value = Planes<Vec<R, N>, kPlanes>;

  template <int N>
  LRNN_HD static Value<N> load_value(const S* const* rows, int64_t c) {
    Value<N> v;
    for (int i = 0; i < kPlanes; ++i) v.plane[i] = load<Vec<R, N>>(rows[i] + c);
    return v;
  }
  template <int N>
  LRNN_HD static void store_value(S* row, int64_t c, int64_t plane, Value<N> v,
                                  bool past_caches = false) {
    for (int i = 0; i < kPlanes; ++i) store(row + i * plane + c, v.plane[i], past_caches);
  }
  template <int N, class Row>
  LRNN_HD static Value<N> load_carry(const Row& row, int64_t c) {
    Value<N> v;
    for (int i = 0; i < kPlanes; ++i) v.plane[i] = load_raw<Vec<R, N>>(&row.plane[i][c]);
    return v;
  }
  template <int N, class Row>
  LRNN_HD static void store_carry(Row& row, int64_t c, Value<N> v) {
    for (int i = 0; i < kPlanes; ++i) store_raw(&row.plane[i][c], v.plane[i]);
  }
};

}  // namespace lrnn::LRNN_ISA
