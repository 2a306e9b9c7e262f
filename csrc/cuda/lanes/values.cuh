// What a thread holds: the channels of one 16-byte access to a stream, a lane. How they lie in
// memory is an Io, as on the CPU.
//
// Loaded bytes stay packed until they are used: unpacked, 16-bit values would take twice the
// registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "../../args.h"
#include "../../cells/affine_cell.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kAccessBytes = 16;

LRNN_HD float widen(float x) { return x; }
LRNN_HD double widen(double x) { return x; }
LRNN_HD float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
LRNN_HD float widen(__half x) { return __half2float(x); }

LRNN_HD void narrow(float x, float& to) { to = x; }
LRNN_HD void narrow(double x, double& to) { to = x; }
LRNN_HD void narrow(float x, __nv_bfloat16& to) { to = __float2bfloat16_rn(x); }
LRNN_HD void narrow(float x, __half& to) { to = __float2half_rn(x); }

// What one access moves, by its size.
template <int kBytes>
struct Access;
template <>
struct Access<16> {
  using Word = uint4;
};
template <>
struct Access<8> {
  using Word = uint2;
};
template <>
struct Access<4> {
  using Word = unsigned;
};
template <>
struct Access<2> {
  using Word = unsigned short;
};

// Whether what a kernel reads will be read again, by the next kernel: a line that will not is the
// first to leave the L2 cache, so that the others stay.
enum class Read { kFirst, kLast };

// Loads what no thread writes while the kernel runs. As __ldg and __ldcs, whose loads the compiler
// must keep, though: these it drops where a pass does not use what it loads, as the map of a chunk,
// or a gradient, needs some inputs only.
#ifdef __CUDA_ARCH__
template <Read kRead>
__device__ __forceinline__ uint4 load_unchanging(const uint4* p) {
  uint4 x;
  if constexpr (kRead == Read::kLast)
    asm("ld.global.cs.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
        : "l"(p));
  else
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
        : "l"(p));
  return x;
}
template <Read kRead>
__device__ __forceinline__ uint2 load_unchanging(const uint2* p) {
  uint2 x;
  if constexpr (kRead == Read::kLast)
    asm("ld.global.cs.nc.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(p));
  else
    asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(p));
  return x;
}
template <Read kRead>
__device__ __forceinline__ unsigned load_unchanging(const unsigned* p) {
  unsigned x;
  if constexpr (kRead == Read::kLast)
    asm("ld.global.cs.nc.u32 %0, [%1];" : "=r"(x) : "l"(p));
  else
    asm("ld.global.nc.u32 %0, [%1];" : "=r"(x) : "l"(p));
  return x;
}
template <Read kRead>
__device__ __forceinline__ unsigned short load_unchanging(const unsigned short* p) {
  unsigned short x;
  if constexpr (kRead == Read::kLast)
    asm("ld.global.cs.nc.u16 %0, [%1];" : "=h"(x) : "l"(p));
  else
    asm("ld.global.nc.u16 %0, [%1];" : "=h"(x) : "l"(p));
  return x;
}
#else
template <Read kRead, class Word>
Word load_unchanging(const Word* p) {
  return __ldg(p);
}
#endif

// The scalars of one access.
template <class S, int kCount_ = kAccessBytes / sizeof(S)>
struct alignas(kCount_ * sizeof(S)) Scalars {
  static constexpr int kCount = kCount_;
  S s[kCount];
};

template <int kVectors, class Word = uint4>
struct Raw {
  Word vector[kVectors];
};

// Real values of storage S, carried as R, as many as a 16-byte access moves, or fewer.
template <class S_, class R_, int kCount = kAccessBytes / sizeof(S_)>
struct Real {
  using S = S_;
  using R = R_;
  using Value = R;
  using Word = typename Access<kCount * sizeof(S)>::Word;
  using Some = Scalars<S, kCount>;
  static constexpr int kPlanes = 1;   // real numbers per value
  static constexpr int kScalars = 1;  // storage scalars per channel and vector
  static constexpr int kVectors = 1;  // accesses per lane
  static constexpr int kChannels = kCount;

  LRNN_HD static Value get(const Raw<1, Word>& raw, int i) {
    return widen(bit_cast<Some>(raw.vector[0]).s[i]);
  }
  LRNN_HD static Raw<1, Word> pack(const Value* v) {
    Some out;
    for (int i = 0; i < kChannels; ++i) narrow(v[i], out.s[i]);
    return {{bit_cast<Word>(out)}};
  }
  LRNN_HD static Value rounded(Value v) {
    S stored;
    narrow(v, stored);
    return widen(stored);
  }
  LRNN_HD static Value value(R re, R) { return re; }
  LRNN_HD static R part(Value v, int) { return v; }
};

// Complex values of storage S, carried as R: re and im alternating (S is R then), or in two planes.
template <class S_, class R_, bool kSplit>
struct ComplexValues {
  using S = S_;
  using R = R_;
  using Value = Complex<R>;
  using Word = uint4;
  using Some = Scalars<S>;
  static constexpr int kPlanes = 2;
  static constexpr int kScalars = kSplit ? 1 : 2;
  static constexpr int kVectors = kSplit ? 2 : 1;
  static constexpr int kChannels = Some::kCount / kScalars;

  LRNN_HD static Value get(const Raw<kVectors>& raw, int i) {
    if constexpr (kSplit)
      return {widen(bit_cast<Some>(raw.vector[0]).s[i]), widen(bit_cast<Some>(raw.vector[1]).s[i])};
    else
      return {bit_cast<Some>(raw.vector[0]).s[2 * i], bit_cast<Some>(raw.vector[0]).s[2 * i + 1]};
  }
  LRNN_HD static Raw<kVectors> pack(const Value* v) {
    Some out[kVectors];
    for (int i = 0; i < kChannels; ++i) {
      narrow(v[i].re, kSplit ? out[0].s[i] : out[0].s[2 * i]);
      narrow(v[i].im, kSplit ? out[kVectors - 1].s[i] : out[0].s[2 * i + 1]);
    }
    Raw<kVectors> raw;
    for (int v = 0; v < kVectors; ++v) raw.vector[v] = bit_cast<uint4>(out[v]);
    return raw;
  }
  LRNN_HD static Value rounded(Value v) {
    S re, im;
    narrow(v.re, re);
    narrow(v.im, im);
    return {widen(re), widen(im)};
  }
  LRNN_HD static Value value(R re, R im) { return {re, im}; }
  LRNN_HD static R part(Value v, int plane) { return plane == 0 ? v.re : v.im; }
};

// The values of a lane.
template <class Io>
struct alignas(kAccessBytes) Values {
  typename Io::Value v[Io::kChannels];
};

// The affine map of a run of steps, carry -> scale * carry + offset.
template <class Io>
struct alignas(kAccessBytes) Map {
  typename Io::Value scale[Io::kChannels], offset[Io::kChannels];
};

template <class Io>
LRNN_HD Map<Io> identity() {
  Map<Io> map;
  for (int i = 0; i < Io::kChannels; ++i) {
    map.scale[i] = Io::value(1, 0);
    map.offset[i] = Io::value(0, 0);
  }
  return map;
}

// What map makes of a carry.
template <class Io>
LRNN_HD Values<Io> applied(const Map<Io>& map, const Values<Io>& carry) {
  Values<Io> out;
  for (int i = 0; i < Io::kChannels; ++i)
    out.v[i] = mapped(map.scale[i], carry.v[i], map.offset[i]);
  return out;
}

// first, then second.
template <class Io>
LRNN_HD Map<Io> composed(const Map<Io>& first, const Map<Io>& second) {
  Map<Io> out;
  for (int i = 0; i < Io::kChannels; ++i) {
    out.scale[i] = product(second.scale[i], first.scale[i]);
    out.offset[i] = mapped(second.scale[i], first.offset[i], second.offset[i]);
  }
  return out;
}

}  // namespace lrnn::LRNN_ISA
