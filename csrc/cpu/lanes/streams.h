// Streams of rows over time: inputs are read, outputs written, resets looked at, step after step in
// the direction of a pass.
#pragma once

#include "io.h"

namespace lrnn::LRNN_ISA {

// The address of a stream's row at (b, t), moved to channel c0.
template <class Io, class Void>
LRNN_HD auto row_at(const Stream<Void>& x, int64_t b, int64_t t, int64_t c0) {
  if constexpr (__is_same(Void, const void)) {
    return static_cast<const typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t +
           c0 * Io::kScalars;
  } else {
    return static_cast<typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t +
           c0 * Io::kScalars;
  }
}

// Where the planes of one step's row lie.
template <class Io>
struct PlaneRows {
  static constexpr int kCount = Io::kPlanes / Io::kScalars;
  const typename Io::S* at[kCount];
  LRNN_HD PlaneRows(const typename Io::S* row, int64_t plane) {
    for (int i = 0; i < kCount; ++i) at[i] = row + i * plane;
  }
};

// Room for a row of a stream in L1.
template <class S>
struct alignas(64) RowCopy {
  S value[kRowPitch / sizeof(S)];
};

// Walks the rows of streams in the direction of a pass, +1 or -1 in time. Kernels keep these and
// their own copy of the arguments as locals: no store can change them, so the compiler keeps
// addresses in registers, which narrow rows depend on.
//
// The parts of a step, streams or the planes of split ones, often lie side by side in one row of
// memory, as one GEMM wrote them. From memory, lanes that read from several parts by turns are
// slow, since hardware prefetchers follow one front in a page. So all parts but the one that comes
// last on the way through memory are then copied to L1, where there is room for copies, and memory
// is read from end to end.
//
// Rows that do not follow one another, slices of wider ones or those of a time-major tensor, are
// prefetched, lane by lane, and so are parts side by side where they are copied: hardware
// prefetchers run past the end of a row into what is not needed, and lose three parts.
template <class Io, int kStreams = 1>
struct Reader {
  using S = typename Io::S;
  static constexpr int kEach = PlaneRows<Io>::kCount, kParts = kStreams * kEach,
                       kCopies = kParts > 1 ? kParts - 1 : 0;
  static constexpr int64_t
      kLeastCopied = 256,
      kFarthest = 1 << 14;  // bytes of a part, and from step to step: farther, it costs time
  static constexpr int64_t kFromMemory =
      6 << 20;  // bytes of all steps: as many are not in a cache close by
  static constexpr int64_t kAhead =
      2 << 10;  // bytes that rows are prefetched ahead, or one row if it is longer
  const S* at[kParts > 0 ? kParts : 1];  // where lanes read
  int64_t step[kStreams > 0 ? kStreams : 1];
  int64_t ahead[kStreams > 0 ? kStreams : 1];  // a few steps
  const S* from[kParts > 0 ? kParts : 1];      // what is copied
  RowCopy<S>* copies = nullptr;
  bool upwards, gaps = false;

  LRNN_HD Reader(const ScanArgs& args, const Input* streams, const Task& k, int64_t t,
                 int64_t direction, RowCopy<S>* room = nullptr)
      : upwards(direction > 0) {
    const int64_t n = (k.c1 - k.c0) * Io::kScalars;
    for (int i = 0; i < kStreams; ++i) {
      const PlaneRows<Io> row(row_at<Io>(streams[i], k.b, t, k.c0), streams[i].plane);
      step[i] = direction * streams[i].stride_t;
      const int64_t pitch = direction * step[i] * int64_t(sizeof(S));
      ahead[i] = pitch > 0 ? step[i] * ((kAhead + pitch - 1) / pitch) : 0;
      for (int j = 0; j < kEach; ++j) at[i * kEach + j] = from[i * kEach + j] = row.at[j];
    }
    const bool together = kParts > 1 && side_by_side(n * int64_t(sizeof(S)));
    const int64_t together_step = together ? direction * n * kParts : direction * n;
    for (int i = 0; i < kStreams; ++i)
      gaps |= step[i] != 0 && step[i] != direction * n && step[i] != together_step;
    if (kCopies == 0 || !room || !together) return;
    const int64_t part = n * sizeof(S), pitch = direction * step[0] * int64_t(sizeof(S));
    if (part < kLeastCopied || part > int64_t(sizeof(RowCopy<S>)) || pitch > kFarthest) return;
    if (args.B * args.T * args.C * Io::kScalars * kParts * int64_t(sizeof(S)) < kFromMemory) return;
    copies = room;
    for (int p = 0, used = 0; p < kParts; ++p)
      if (p != live()) at[p] = copies[used++].value;
  }

  LRNN_HD bool copying() const { return kCopies > 0 && copies; }

  // The part that is read where it lies, the last on the way.
  LRNN_HD int live() const { return upwards ? kParts - 1 : 0; }

  // Before a step of n channels is read. kPrefetching: this reader or another of the pass asks for
  // the next row; narrow rows have no such loop.
  template <bool kPrefetching>
  LRNN_HD void prepare(int64_t n) const {
    constexpr int kLine = 64 / (sizeof(S) * Io::kScalars);
    if (!kPrefetching) {
      if (gaps)
        for (int64_t c = 0; c < n; c += kLine) prefetch_next<kLine>(c);
    } else if (copying()) {
      for (int i = 0; i < kCopies; ++i) copy(upwards ? i : kParts - 1 - i, n * Io::kScalars);
    }
  }

  template <bool kPrefetching = false>
  LRNN_HD void advance() {
    if (kPrefetching && copying()) {
      for (int p = 0; p < kParts; ++p) from[p] += step[p / kEach];
      at[live()] = from[live()];
    } else {
      for (int p = 0; p < kParts; ++p) at[p] += step[p / kEach];
    }
  }

  // Prefetches N channels from c on of a row to come, but for what copying has fetched.
  template <int N>
  LRNN_HD void prefetch_next(int64_t c) const {
    if (copying())
      prefetch<N>(from[live()] + ahead[0], c);
    else if (gaps)
      for (int p = 0; p < kParts; ++p) prefetch<N>(at[p] + ahead[p / kEach], c);
  }

  // The same for the row of a later step, whatever the rows.
  template <int N>
  LRNN_HD void prefetch_ahead(int64_t steps, int64_t c) const {
    const S* const* rows = copying() ? from : at;
    for (int p = 0; p < kParts; ++p) prefetch<N>(rows[p] + steps * step[p / kEach], c);
  }

  template <int N>
  LRNN_HD auto load(int64_t c) const {
    return Io::template load_value<N>(at, c);
  }
  template <int N>
  LRNN_HD void load(int64_t c, typename Io::template Value<N>* x) const {
    for (int i = 0; i < kStreams; ++i) x[i] = Io::template load_value<N>(at + i * kEach, c);
  }
  // Two registers side by side, see kAsOne: of one stream, or of each.
  template <int N>
  LRNN_HD void load_two(int64_t c, typename Io::template Value<N>* x) const {
    Io::template load_two<N>(at, c, x);
  }
  template <int N, int kValues>
  LRNN_HD void load_two(int64_t c, typename Io::template Value<N> (&x)[2][kValues]) const {
    for (int i = 0; i < kStreams; ++i) {
      typename Io::template Value<N> both[2];
      Io::template load_two<N>(at + i * kEach, c, both);
      for (int u = 0; u < 2; ++u) x[u][i] = both[u];
    }
  }

 private:
  // Whether parts of so many bytes lie one behind the other in a row, which no other step's row
  // overlaps.
  LRNN_HD bool side_by_side(int64_t bytes) const {
    const auto begin = [&](int part) {
      return reinterpret_cast<intptr_t>(from[part]) - reinterpret_cast<intptr_t>(from[0]);
    };
    const int64_t pitch = (upwards ? step[0] : -step[0]) * int64_t(sizeof(S));
    for (int p = 1; p < kParts; ++p)
      if (step[p / kEach] != step[0] || begin(p) < begin(p - 1) + bytes || begin(p) + bytes > pitch)
        return false;
    return true;
  }

  template <int N>
  LRNN_HD static void prefetch(const S* row, int64_t c) {
    constexpr int kLine = 64 / sizeof(S);
    for (int i = 0; i < N * Io::kScalars; i += kLine)
      __builtin_prefetch(row + c * Io::kScalars + i);
  }

  LRNN_HD void copy(int part, int64_t scalars) const {
    const auto* const row = reinterpret_cast<const uint8_t*>(from[part]);
    auto* const to = reinterpret_cast<uint8_t*>(const_cast<S*>(at[part]));
    const int64_t next = ahead[0] * int64_t(sizeof(S));
    for_lanes<uint8_t>(scalars * sizeof(S), !upwards,
                       [&]<int N>(int64_t i) __attribute__((always_inline)) {
                         if constexpr (N > 1) __builtin_prefetch(row + i + next);
                         store_raw(to + i, load_raw<Vec<uint8_t, N>>(row + i));
                       });
  }
};

// How a pass reads its rows: as they come, prefetched, or copied in part as well (see Reader).
enum class Access { plain, prefetched, copied };
template <class... Readers>
LRNN_HD Access access_to(const Readers&... readers) {
  return (readers.copying() || ...) ? Access::copied
         : (readers.gaps || ...)    ? Access::prefetched
                                    : Access::plain;
}

// Writes the rows of an output, past the caches if it is too large for them. for_lanes fills two
// neighbouring lines at a time, upwards, before it moves on, in any direction: so the stores of a
// line are gathered. (Collecting a row in L1 first takes longer.)
template <class Io>
struct Writer {
  using S = typename Io::S;
  S* row;
  int64_t step, plane;
  bool past_caches;

  LRNN_HD Writer(Output x, const Task& k, int64_t t, int64_t direction, bool past_caches)
      : past_caches(past_caches) {
    row = row_at<Io>(x, k.b, t, k.c0);
    step = direction * x.stride_t;
    plane = x.plane;
  }
  template <int N>
  LRNN_HD void store(int64_t c, typename Io::template Value<N> v) {
    Io::template store_value<N>(row, c, plane, v, past_caches);
  }
  template <int N>
  LRNN_HD void store_two(int64_t c, const typename Io::template Value<N>* v) {
    Io::template store_two<N>(row, c, plane, v, past_caches);
  }
  LRNN_HD void advance() { row += step; }
};

// Tells whether the state is reset before a step, in the direction of a pass.
struct Resets {
  const uint8_t* flag;
  int64_t step;

  LRNN_HD Resets(const Stream<const uint8_t>& x, const Task& k, int64_t t, int64_t direction) {
    flag = x.data ? x.data + k.b * x.stride_b + t * x.stride_t : nullptr;
    step = direction * x.stride_t;
  }
  LRNN_HD bool next() {
    if (!flag) return false;
    const bool reset = *flag;
    flag += step;
    return reset;
  }
};

}  // namespace lrnn::LRNN_ISA
