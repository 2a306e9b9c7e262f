// Which instruction set runs: the choice that every library of this package makes alike.
#pragma once

#include <stdlib.h>
#include <string.h>

namespace lrnn {

// Instruction sets that kernels are compiled for, worst first, by the names of their namespaces,
// and of LRNN_ISA and `info`. avx512_bf16 is avx512 with an instruction that rounds to bfloat16.
#define LRNN_ISAS(X) X(baseline) X(avx2) X(avx512) X(avx512_bf16)

// kernels where this build holds those of a set, else a null pointer.
#if defined(LRNN_HAVE_BASELINE)
#define LRNN_WHERE_BUILT_baseline(kernels) kernels
#else
#define LRNN_WHERE_BUILT_baseline(kernels) nullptr
#endif
#if defined(LRNN_HAVE_AVX2)
#define LRNN_WHERE_BUILT_avx2(kernels) kernels
#else
#define LRNN_WHERE_BUILT_avx2(kernels) nullptr
#endif
#if defined(LRNN_HAVE_AVX512)
#define LRNN_WHERE_BUILT_avx512(kernels) kernels
#else
#define LRNN_WHERE_BUILT_avx512(kernels) nullptr
#endif
#if defined(LRNN_HAVE_AVX512_BF16)
#define LRNN_WHERE_BUILT_avx512_bf16(kernels) kernels
#else
#define LRNN_WHERE_BUILT_avx512_bf16(kernels) nullptr
#endif

// none: of a library that holds no kernels for this processor, or not the wanted ones, and must not
// be used.
#define LRNN_COUNT(isa) isa,
enum class Isa { none = -1, LRNN_ISAS(LRNN_COUNT) };
#undef LRNN_COUNT
#define LRNN_NAME(isa) #isa,
inline constexpr const char* kIsaNames[] = {LRNN_ISAS(LRNN_NAME)};
#undef LRNN_NAME
inline constexpr int kIsaCount = sizeof kIsaNames / sizeof kIsaNames[0];
inline const char* isa_name(Isa isa) {
  return isa == Isa::none ? "none" : kIsaNames[static_cast<int>(isa)];
}

inline bool processor_runs(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == Isa::avx512_bf16)
    return processor_runs(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
  if (isa == Isa::avx512) return __builtin_cpu_supports("x86-64-v4");
  if (isa == Isa::avx2) return __builtin_cpu_supports("x86-64-v3");
#endif
  return isa == Isa::baseline;
}

// The best set for which available(isa) holds, or the one that the environment variable LRNN_ISA
// names.
template <class Available>
Isa choose_isa(Available available) {
  const char* wanted = getenv("LRNN_ISA");
  for (int i = kIsaCount - 1; i >= 0; --i)
    if (available(Isa(i)) && (!wanted || !*wanted || strcmp(wanted, kIsaNames[i]) == 0))
      return Isa(i);
  return Isa::none;
}

}  // namespace lrnn
