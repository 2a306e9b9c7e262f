// CUDA's language and runtime, as much of it as the kernels use, on the executor: kernels compile
// unchanged with a C++ compiler.
//
// Launches are synchronous and there is one device. A kernel is launched by cudaLaunchKernelEx,
// which is a function; <<< >>> is not C++.
#pragma once

#include <math.h>
#include <string.h>

#include <type_traits>

#include "executor.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static thread_local  // a block never leaves its processor thread

namespace cuda_on_cpu {

// Names like threadIdx, whose x, y and z differ from thread to thread. They are no macros:
// cudaLaunchConfig_t has members called so too.
template <const dim3& (*kWhere)()>
struct Coordinates {
  struct X {
    operator unsigned() const { return kWhere().x; }
  } x;
  struct Y {
    operator unsigned() const { return kWhere().y; }
  } y;
  struct Z {
    operator unsigned() const { return kWhere().z; }
  } z;
};

}  // namespace cuda_on_cpu

inline constexpr cuda_on_cpu::Coordinates<cuda_on_cpu::thread_index> threadIdx{};
inline constexpr cuda_on_cpu::Coordinates<cuda_on_cpu::block_index> blockIdx{};
inline constexpr cuda_on_cpu::Coordinates<cuda_on_cpu::block_size> blockDim{};
inline constexpr cuda_on_cpu::Coordinates<cuda_on_cpu::grid_size> gridDim{};

inline void __syncthreads() { cuda_on_cpu::block_barrier(false); }
inline int __syncthreads_or(int vote) { return cuda_on_cpu::block_barrier(vote != 0); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_on_cpu::warp_barrier(mask); }
inline void __nanosleep(unsigned) { cuda_on_cpu::rest(); }

namespace cuda_on_cpu {

// Every lane shows its value and takes that of lane source(lane), counted within groups of width
// lanes; its own if there is none.
template <class T, class Source>
T shuffle(unsigned mask, T value, int width, Source source) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  show(bits);
  warp_barrier(mask);
  const int first = static_cast<int>(lane()) & ~(width - 1),
            from = source(static_cast<int>(lane()) - first);
  if (from >= 0 && from < width && (mask >> (first + from) & 1)) {
    bits = seen(first + from);
    memcpy(&value, &bits, sizeof value);
  }
  warp_barrier(mask);
  return value;
}

}  // namespace cuda_on_cpu

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return cuda_on_cpu::shuffle(mask, value, width, [=](int) { return from & (width - 1); });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  return cuda_on_cpu::shuffle(mask, value, width,
                              [=](int lane) { return lane - static_cast<int>(distance); });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  return cuda_on_cpu::shuffle(mask, value, width,
                              [=](int lane) { return lane + static_cast<int>(distance); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return cuda_on_cpu::shuffle(mask, value, width, [=](int lane) { return lane ^ bits; });
}
inline unsigned __ballot_sync(unsigned mask, int vote) {
  cuda_on_cpu::show(vote != 0);
  cuda_on_cpu::warp_barrier(mask);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < cuda_on_cpu::kWarp; ++lane)
    if ((mask >> lane & 1) && cuda_on_cpu::seen(lane)) votes |= 1u << lane;
  cuda_on_cpu::warp_barrier(mask);
  return votes;
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) == mask; }

// Atomics; those without an order in their name are relaxed, as on the device.
#define __NV_ATOMIC_RELAXED __ATOMIC_RELAXED
#define __NV_ATOMIC_ACQUIRE __ATOMIC_ACQUIRE
#define __NV_ATOMIC_RELEASE __ATOMIC_RELEASE
#define __NV_THREAD_SCOPE_DEVICE 0
template <class T>
T __nv_atomic_load_n(const T* p, int order, int = 0) {
  return __atomic_load_n(p, order);
}
template <class T>
void __nv_atomic_store_n(T* p, T value, int order, int = 0) {
  __atomic_store_n(p, value, order);
}
template <class T>
T atomicAdd(T* p, T value) {
  static_assert(std::is_integral_v<T>,
                "the order of floating point additions would be left to chance");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicMin(T* p, T value) {
  T seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (value < seen &&
         !__atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}
template <class T>
T atomicExch(T* p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
template <class T>
T atomicCAS(T* p, T expected, T value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

// 8 and 16 bytes of anything, and accesses to them and to less. A misaligned one ends the program,
// as it does on the device.
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
template <class Word>
Word __ldg(const Word* p) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(Word) != 0) __builtin_trap();
  Word v;
  memcpy(&v, static_cast<const void*>(p), sizeof v);
  return v;
}
template <class Word>
void __stcs(Word* p, Word v) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(Word) != 0) __builtin_trap();
  memcpy(static_cast<void*>(p), &v, sizeof v);
}

// The runtime.
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorLaunchFailure = 719 };
using cudaStream_t = void*;
enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative = 2 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int cooperative;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  const cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  bool together = false;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeCooperative)
      together = config->attrs[i].val.cooperative != 0;
  const auto run = [&] { kernel(static_cast<Parameters>(arguments)...); };
  const auto body = [](void* run_) { (*static_cast<decltype(run)*>(run_))(); };
  return cuda_on_cpu::launch(config->gridDim, config->blockDim, together, body,
                             const_cast<void*>(static_cast<const void*>(&run)))
             ? cudaSuccess
             : cudaErrorLaunchFailure;
}
inline cudaError_t cudaMemsetAsync(void* p, int byte, size_t count, cudaStream_t = nullptr) {
  memset(p, byte, count);
  return cudaSuccess;
}
