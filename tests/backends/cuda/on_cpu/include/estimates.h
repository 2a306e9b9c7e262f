// What nvcc knows and C++ does not, for neurons on the executor: operations that are rounded each
// by itself, and the estimates of a GPU's instructions. It is included before all else (-include).
//
// Estimates err by twice as much as those of a GPU may, by a share that depends on the number.
#pragma once

#include <math.h>
#include <stdint.h>

#define CUDA_ON_CPU

namespace cuda_on_cpu {

// A number that no compiler fuses with what comes next.
template <class R>
inline __attribute__((always_inline)) R rounded(R x) {
#if defined(__x86_64__)
  __asm__("" : "+x"(x));
#else
  __asm__("" : "+w"(x));
#endif
  return x;
}

// In [-1, 1], by the bits of a number.
inline float share(uint32_t bits) {
  bits = (bits ^ bits >> 15) * 0x2c1b3c6du;
  bits = (bits ^ bits >> 12) * 0x297a2d39u;
  return static_cast<float>(static_cast<int32_t>(bits ^ bits >> 15)) * 0x1p-31f;
}
inline float erring(double exact, float of, double error) {
  const float x = static_cast<float>(exact * (1 + error * share(__builtin_bit_cast(uint32_t, of))));
  return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
inline float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

inline float exp2_estimate(float y) { return erring(exp2(flushed(y)), y, 0x1p-21); }
inline float reciprocal_estimate(float x) { return erring(1.0 / flushed(x), x, 0x1p-21); }
inline double reciprocal_estimate(double x) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, x);
  const double r = 1 / x * (1 + 0x1p-19 * share(static_cast<uint32_t>(bits ^ bits >> 32)));
  return fabs(r) < 0x1p-1022 ? copysign(0, r) : r;
}

}  // namespace cuda_on_cpu

inline float __fmul_rn(float a, float b) { return cuda_on_cpu::rounded(a * b); }
inline float __fadd_rn(float a, float b) { return cuda_on_cpu::rounded(a + b); }
inline float __fsub_rn(float a, float b) { return cuda_on_cpu::rounded(a - b); }
inline float __fdiv_rn(float a, float b) { return cuda_on_cpu::rounded(a / b); }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline double __dmul_rn(double a, double b) { return cuda_on_cpu::rounded(a * b); }
