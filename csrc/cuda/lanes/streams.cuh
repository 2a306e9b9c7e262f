// Where a thread works, and how it reads and writes streams there.
//
// A pass counts its steps by position, 0 to T-1, in the order in which the carry travels; whether a
// position is an earlier or a later time is decided in one place, Place::time.
#pragma once

#include "values.cuh"

namespace lrnn::LRNN_ISA {

// How a grid shares the work: blocks over lanes in x, chunks of positions in y. All batch elements'
// lanes are numbered in one row.
struct Share {
  int64_t lanes, row_lanes;  // of all batch elements; of one
  int64_t chunk;             // positions per chunk
  bool ascending;            // positions ascend in time
  void* maps = nullptr;  // of all chunks but the last, if there are several: what the summarizing
                         // kernel writes
};

__device__ __forceinline__ int64_t lane_of_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// The channels [c, c + count) of batch element b, over the positions [begin, end).
struct Place {
  int64_t b, c, lane, begin, end;
  int count;  // 0: there is nothing to do, but barriers to keep

  __device__ __forceinline__ Place(const ScanArgs& args, const Share& share, int channels,
                                   int64_t lane_ = lane_of_thread()) {
    lane = lane_;
    const bool works = lane < share.lanes;
    b = works ? lane / share.row_lanes : 0;
    c = works ? lane % share.row_lanes * channels : 0;
    count = works ? static_cast<int>(args.C - c < channels ? args.C - c : channels) : 0;
    begin = static_cast<int64_t>(blockIdx.y) * share.chunk;
    end = begin + share.chunk < args.T ? begin + share.chunk : args.T;
  }
};

__device__ __forceinline__ int64_t time_at(const ScanArgs& args, const Share& share,
                                           int64_t position) {
  return share.ascending ? position : args.T - 1 - position;
}

__device__ __forceinline__ void fetch_into_l2([[maybe_unused]] const void* p) {
#ifdef __CUDA_ARCH__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
#endif
}

// The rows of a stream at a place, one access per lane where addresses allow, else scalar by
// scalar.
template <class Io, class Void>
struct Rows {
  using S = typename Io::S;
  using Word = typename Io::Word;
  using Some = typename Io::Some;
  using Vectors = Raw<Io::kVectors, Word>;
  using Pointer = std::conditional_t<std::is_const_v<Void>, const S*, S*>;
  // Scalars that a tail goes by one by one; a lone one is whole, or not there.
  static constexpr int kTail = Some::kCount > 1 ? Some::kCount : 0;
  Pointer row;  // at time 0
  int scalars;  // per vector
  bool whole;

  __device__ __forceinline__ Rows(const Stream<Void>& x, const Place& k,
                                  bool has_planes = Io::kVectors > 1) {
    row = static_cast<Pointer>(x.data) + k.b * x.stride_b + k.c * Io::kScalars;
    scalars = k.count * Io::kScalars;
    const int64_t planes = has_planes ? x.plane : 0;
    const auto bits = reinterpret_cast<uintptr_t>(row) |
                      static_cast<uintptr_t>((x.stride_t | planes) * int64_t{sizeof(S)});
    whole = k.count == Io::kChannels && (kTail == 0 || bits % sizeof(Word) == 0);
  }

  // Where there are several planes and a value is one vector, plane chooses.
  template <Read kRead = Read::kFirst>
  __device__ __forceinline__ Vectors load(const Stream<Void>& x, int64_t t, int plane = 0) const {
    Vectors raw;
    for (int v = 0; v < Io::kVectors; ++v) {
      const S* const p = row + t * x.stride_t + (v + plane) * x.plane;
      if (whole) {
        raw.vector[v] =
            load_unchanging<kRead>(static_cast<const Word*>(static_cast<const void*>(p)));
      } else {
        Some some{};
        for (int i = 0; i < kTail; ++i)
          if (i < scalars) some.s[i] = p[i];
        raw.vector[v] = bit_cast<Word>(some);
      }
    }
    return raw;
  }

  // Brings a row into the L2 cache, whence a load takes a third of the time.
  __device__ __forceinline__ void fetch(const Stream<Void>& x, int64_t t, int plane = 0) const {
    fetch_into_l2(row + t * x.stride_t + plane * x.plane);
  }

  __device__ __forceinline__ void store(const Stream<Void>& x, int64_t t, const Vectors& raw,
                                        int plane = 0) const {
    for (int v = 0; v < Io::kVectors; ++v) {
      S* const p = row + t * x.stride_t + (v + plane) * x.plane;
      if (whole) {
        __stcs(static_cast<Word*>(static_cast<void*>(p)), raw.vector[v]);
      } else {
        const auto some = bit_cast<Some>(raw.vector[v]);
        for (int i = 0; i < kTail; ++i)
          if (i < scalars) p[i] = some.s[i];
      }
    }
  }
  __device__ __forceinline__ void store(const Stream<Void>& x, int64_t t,
                                        const typename Io::Value* values) const {
    store(x, t, Io::pack(values));
  }
};

// Parameters and states at the ends of a sequence, in the carry type: complex ones interleaved, or,
// for states of split streams, in two planes. Read once, or at a reset.
template <class Io>
__device__ __forceinline__ int64_t boundary_offset(const Place& k, int i, int plane,
                                                   bool interleaved, int64_t stride_b,
                                                   int64_t plane_stride) {
  const int64_t channel = k.c + i;
  return k.b * stride_b +
         (interleaved ? channel * Io::kPlanes + plane : channel + plane * plane_stride);
}
template <class Io>
__device__ __forceinline__ Values<Io> load_boundary(const Input& x, const Place& k,
                                                    bool interleaved = Io::kScalars == 2) {
  Values<Io> values;
  const auto* p = static_cast<const typename Io::R*>(x.data);
  const auto at = [&](int i, int plane) {
    return p[boundary_offset<Io>(k, i, plane, interleaved, x.stride_b, x.plane)];
  };
  for (int i = 0; i < Io::kChannels; ++i) {
    const bool there = p && i < k.count;
    values.v[i] =
        Io::value(there ? at(i, 0) : 0, there && Io::kPlanes == 2 ? at(i, Io::kPlanes - 1) : 0);
  }
  return values;
}
template <class Io>
__device__ __forceinline__ void store_boundary(const Output& x, const Place& k,
                                               const Values<Io>& values) {
  auto* const p = static_cast<typename Io::R*>(x.data);
  for (int i = 0; i < Io::kChannels; ++i)
    for (int plane = 0; plane < Io::kPlanes; ++plane)
      if (p && i < k.count)
        p[boundary_offset<Io>(k, i, plane, Io::kScalars == 2, x.stride_b, x.plane)] =
            Io::part(values.v[i], plane);
}

// What is saved of a state rounds it to the storage; a state from outside the sequence must be
// rounded alike, so that a sequence cut in two has the very gradients of the whole.
template <class Io>
__device__ __forceinline__ Values<Io> load_rounded_boundary(const Input& x, const Place& k) {
  Values<Io> values = load_boundary<Io>(x, k);
  for (int i = 0; i < Io::kChannels; ++i) values.v[i] = Io::rounded(values.v[i]);
  return values;
}

__device__ __forceinline__ bool is_reset(const ScanArgs& args, const Place& k, int64_t t) {
  return args.reset.data && args.reset.data[k.b * args.reset.stride_b + t * args.reset.stride_t];
}

// Adds a lane's values to its own row of partial sums: nobody else writes there.
template <class Io>
__device__ __forceinline__ void add_to(double* row, int64_t C, const Place& k,
                                       const typename Io::Value* values) {
  for (int i = 0; i < Io::kChannels; ++i)
    for (int plane = 0; plane < Io::kPlanes; ++plane)
      if (i < k.count) row[plane * C + k.c + i] += Io::part(values[i], plane);
}

}  // namespace lrnn::LRNN_ISA
