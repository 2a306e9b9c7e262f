// Rows of channels: how one row of a stream is addressed, loaded and stored (Io), and how a row is walked lane by lane.
#pragma once

#include "args.h"
#include "simd.h"

namespace lrnn::LRNN_ISA {

// Channels that one task carries: a state row of 4 KiB, so that a handful of them stay in a 32 KiB L1 cache.
inline constexpr int64_t kRowBytes = 4096;
// How far apart rows lie. Were it 4 KiB, the rows of few channels would all fall into the same few sets of the L1 cache, and what is
// stored to one would delay what is loaded from the next: processors tell by the low 12 bits of two addresses whether they may be the same.
// That costs up to three times the time, or nothing, by chance of the physical pages. So the rows that a pass walks lie in one piece, which
// begins at a page: wherever the stack is, they lie the same way beside one another, and beside the streams.
inline constexpr int64_t kRowPitch = kRowBytes + 1024, kPage = 4096;

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
  LRNN_HD static void store_value(S* row, int64_t c, int64_t, Value<N> v, bool past_caches = false) {
    store(row + c, v, past_caches);
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
  LRNN_HD static void store_value(S* row, int64_t c, int64_t plane, Value<N> v, bool past_caches = false) {
    if constexpr (kSplit) {
      store(row + c, v.re, past_caches);
      store(row + plane + c, v.im, past_caches);
    } else {
      store_interleaved(row + 2 * c, v, past_caches);
    }
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
  LRNN_HD static void store_value(S* row, int64_t c, int64_t plane, Value<N> v, bool past_caches = false) {
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

// The address of a stream's row at (b, t), moved to channel c0.
template <class Io, class Void>
LRNN_HD auto row_at(const Stream<Void>& x, int64_t b, int64_t t, int64_t c0) {
  if constexpr (__is_same(Void, const void)) {
    return static_cast<const typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t + c0 * Io::kScalars;
  } else {
    return static_cast<typename Io::S*>(x.data) + b * x.stride_b + t * x.stride_t + c0 * Io::kScalars;
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

// Walks the rows of streams in the direction of a pass, +1 or -1 in time. Kernels keep these and their own copy of the arguments as
// locals: no store can change them, so the compiler keeps addresses in registers, which narrow rows depend on.
//
// The parts of a step, streams or the planes of split ones, often lie side by side in one row of memory, as one GEMM wrote them.
// From memory, lanes that read from several parts by turns take 1.3 to 2 times as long, since hardware prefetchers follow one front in a
// page. So all parts but the last in the order of addresses are then copied to L1, where there is room for copies, and memory is
// read from end to end.
template <class Io, int kStreams = 1>
struct Reader {
  using S = typename Io::S;
  static constexpr int kEach = PlaneRows<Io>::kCount, kParts = kStreams * kEach, kCopies = kParts > 1 ? kParts - 1 : 0;
  static constexpr int64_t kLeastCopied = 256, kWidestCopied = 1 << 14;  // bytes of a part, and of a row of memory
  const S* at[kParts > 0 ? kParts : 1];                                  // where lanes read
  int64_t step[kStreams > 0 ? kStreams : 1];
  const S* from[kParts > 0 ? kParts : 1];  // what is copied
  RowCopy<S>* copies;
  bool upwards, gaps = false;

  LRNN_HD Reader(const ScanArgs& args, const Input* streams, const Task& k, int64_t t, int64_t direction, RowCopy<S>* room = nullptr)
      : copies(args.from_memory ? room : nullptr), upwards(direction > 0) {
    const int64_t bytes = (k.c1 - k.c0) * Io::kScalars * sizeof(S);
    bool together = kParts > 1 && bytes >= kLeastCopied && streams[0].stride_t * int64_t(sizeof(S)) <= kWidestCopied;
    for (int i = 0; i < kStreams; ++i) {
      const PlaneRows<Io> row(row_at<Io>(streams[i], k.b, t, k.c0), streams[i].plane);
      step[i] = direction * streams[i].stride_t;
      gaps |= upwards && step[i] != 0 && step[i] != (k.c1 - k.c0) * Io::kScalars;
      together &= step[i] == step[0];
      for (int j = 0; j < kEach; ++j) at[i * kEach + j] = from[i * kEach + j] = row.at[j];
    }
    const auto address = [&](int part) { return reinterpret_cast<intptr_t>(from[part]); };
    for (int p = 1; p < kParts; ++p)
      together &= address(p) >= address(p - 1) + bytes && address(p) + bytes <= address(0) + streams[0].stride_t * int64_t(sizeof(S));
    if (!together) copies = nullptr;
    if (copies)
      for (int p = 0, used = 0; p < kParts; ++p)
        if (p != live()) at[p] = copies[used++].value;
  }

  LRNN_HD bool copying() const { return kCopies > 0 && copies; }

  // The part that is read where it lies.
  LRNN_HD int live() const { return upwards ? kParts - 1 : 0; }

  // Before a step of n channels is read. kCopying: this reader or another of the pass copies.
  template <bool kCopying>
  LRNN_HD void prepare(int64_t n) const {
    if (kCopying && copies) {
      for (int i = 0; i < kCopies; ++i) {
        const int part = upwards ? i : kParts - 1 - i;
        copy(from[part], const_cast<S*>(at[part]), n * Io::kScalars);
      }
    } else if (gaps) {
      ask_ahead(n);
    }
  }

  template <bool kCopying = false>
  LRNN_HD void advance() {
    if (kCopying && copies) {
      for (int p = 0; p < kParts; ++p) from[p] += step[p / kEach];
      at[live()] = from[live()];
    } else {
      for (int p = 0; p < kParts; ++p) at[p] += step[p / kEach];
    }
  }

  template <int N>
  LRNN_HD auto load(int64_t c) const {
    return Io::template load_value<N>(at, c);
  }
  template <int N>
  LRNN_HD void load(int64_t c, typename Io::template Value<N>* x) const {
    for (int i = 0; i < kStreams; ++i) x[i] = Io::template load_value<N>(at + i * kEach, c);
  }

 private:
  LRNN_HD void copy(const S* row, S* to, int64_t scalars) const {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(row);
    for_lanes<uint8_t>(scalars * sizeof(S), !upwards, [&]<int N>(int64_t i) __attribute__((always_inline)) {
      store_raw(reinterpret_cast<uint8_t*>(to) + i, load_raw<Vec<uint8_t, N>>(bytes + i));
    });
  }

  // In a pass upwards in time, asks for the next row ahead of its use if the rows do not follow one another in memory (a slice of
  // wider rows): hardware prefetchers run on past the end of a row into what is not needed. Worth 1.1 to 1.3 times; downwards, where they
  // behave differently, it costs as much.
  LRNN_HD void ask_ahead(int64_t n) const {
    constexpr int64_t kLine = 64 / sizeof(S);
    for (int p = 0; p < kParts; ++p)
      for (int64_t c = 0; c < n * Io::kScalars; c += kLine) __builtin_prefetch(at[p] + step[p / kEach] + c);
  }
};

// Writes the rows of an output, past the caches if it is too large for them. for_lanes fills two neighbouring lines at a time, upwards,
// before it moves on, in any direction: so the stores of a line are gathered. (Collecting a row in L1 first takes 1.1 to 1.2 times as
// long.)
template <class Io>
struct Writer {
  using S = typename Io::S;
  S* row;
  int64_t step, plane;
  bool past_caches;

  LRNN_HD Writer(Output x, const Task& k, int64_t t, int64_t direction, bool past_caches) : past_caches(past_caches) {
    row = row_at<Io>(x, k.b, t, k.c0);
    step = direction * x.stride_t;
    plane = x.plane;
  }
  template <int N>
  LRNN_HD void store(int64_t c, typename Io::template Value<N> v) {
    Io::template store_value<N>(row, c, plane, v, past_caches);
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

// Calls steps.operator()<n, copying>() with the number of channels as a constant for rows of 16 and 32 float32 channels, whose loops then
// unroll: narrow rows are short of work to hide the loops' own. Otherwise n is 0: known at run time only. copying: whether a reader
// of the pass copies; a loop without need not ask.
template <class Io, class Steps>
LRNN_HD void with_width(int64_t n, bool copying, Steps&& steps) {
  if constexpr (sizeof(typename Io::S) == 4) {
    if (n == 16) return steps.template operator()<16, false>();
    if (n == 32) return steps.template operator()<32, false>();
  }
  if (copying) return steps.template operator()<0, true>();
  steps.template operator()<0, false>();
}

// A carry row of a pass of kFixed channels as a local that nothing else knows, which compilers then keep in registers: through memory, the
// state of a narrow row would take three times the latency of its arithmetic from step to step. Any other row stays where it is.
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

// Parameters and states at the ends of a sequence come in the carry type, complex ones interleaved or, for states of split
// streams, in two planes. These run once per task, not per step.
template <class Io, bool kInterleaved>
void load_ends(Input x, const Task& k, CarryRow<typename Io::R, Io::kPlanes>& row) {
  const auto* p = static_cast<const typename Io::R*>(x.data);
  constexpr int kStep = kInterleaved ? Io::kPlanes : 1;
  for (int plane = 0; plane < Io::kPlanes; ++plane)
    for (int64_t c = 0; c < k.c1 - k.c0; ++c)
      row.plane[plane][c] = p ? p[k.b * x.stride_b + (k.c0 + c) * kStep + plane * (kInterleaved ? 1 : x.plane)] : 0;
}
template <class Io>
void store_ends(const CarryRow<typename Io::R, Io::kPlanes>& row, const Task& k, Output x) {
  auto* p = static_cast<typename Io::R*>(x.data);
  if (!p) return;
  for (int plane = 0; plane < Io::kPlanes; ++plane)
    for (int64_t c = 0; c < k.c1 - k.c0; ++c)
      p[k.b * x.stride_b + (k.c0 + c) * Io::kScalars + plane * (Io::kScalars == 2 ? 1 : x.plane)] = row.plane[plane][c];
}

// All parameters' rows.
template <class Io, int kParams>
struct ParamRows {
  CarryRow<typename Io::R, Io::kPlanes> row[kParams > 0 ? kParams : 1];
  LRNN_HD ParamRows(const ScanArgs& args, const Task& k) {
    for (int i = 0; i < kParams; ++i) load_ends<Io, Io::kPlanes == 2>(args.params[i], k, row[i]);
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

// A row at the start of a sequence or a reset, rounded to the storage of what a later step reads of its predecessor, so that a sequence
// cut in two has the very gradients of the whole.
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

// Steps between two additions of float32 parameter gradients into double: bounds the rounding of long sums.
inline constexpr int kFlush = 64;

// The time of a scan step.
LRNN_HD int64_t time_at(const ScanArgs& args, int64_t s) { return args.reverse ? args.T - 1 - s : s; }

// The first n channels of a row: set to a real number, copied, added to sums, rounded to a storage.
template <class Row, class R>
LRNN_HD void set_row(Row& row, int64_t n, R re) {
  for (int plane = 0; plane < Row::kPlanes; ++plane)
    for (int64_t c = 0; c < n; ++c) row.plane[plane][c] = plane == 0 ? re : R(0);
}
template <class From, class To>
LRNN_HD void copy_row(const From& from, int64_t n, To& to) {
  for (int plane = 0; plane < To::kPlanes; ++plane) __builtin_memcpy(to.plane[plane], from.plane[plane], n * sizeof to.plane[0][0]);
}
template <class Row>
LRNN_HD void add_row(const Row& row, int64_t n, double* sums, int64_t stride) {
  for (int plane = 0; plane < Row::kPlanes; ++plane)
    for (int64_t c = 0; c < n; ++c) sums[plane * stride + c] += row.plane[plane][c];
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

// The carry row of a task as it begins and ends: handed over by the pieces around it, or at the sequence's own ends.
template <class Io, bool kInterleaved>
void begin_carry(Input ends, const Task& k, CarryRow<typename Io::R, Io::kPlanes>& row) {
  if (k.carry_in)
    load_carry_row(k.carry_in, k.c1 - k.c0, row);
  else
    load_ends<Io, kInterleaved>(ends, k, row);
}
template <class Io>
void end_carry(const CarryRow<typename Io::R, Io::kPlanes>& row, const Task& k, Output ends) {
  if (k.carry_out)
    store_carry_row(row, k.c1 - k.c0, k.carry_out);
  else
    store_ends<Io>(row, k, ends);
}

}  // namespace lrnn::LRNN_ISA
