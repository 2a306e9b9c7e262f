// Which instruction set runs: the choice that every library of this package makes alike.
#pragma once

#include <stdlib.h>
#include <string.h>

namespace lrnn {

// Instruction sets that kernels are compiled for, worst first, by the names that LRNN_ISA and `info` use; or none, of a library that holds
// no kernels for this processor, or not the wanted ones, and must not be used.
enum class Isa { none = -1, baseline, avx2, avx512 };
inline constexpr const char* kIsaNames[] = {"baseline", "avx2", "avx512"};
inline constexpr int kIsaCount = 3;
inline const char* isa_name(Isa isa) { return isa == Isa::none ? "none" : kIsaNames[static_cast<int>(isa)]; }

inline bool processor_runs(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == Isa::avx512) return __builtin_cpu_supports("x86-64-v4");
  if (isa == Isa::avx2) return __builtin_cpu_supports("x86-64-v3");
#endif
  return isa == Isa::baseline;
}

// The best set for which available(isa) holds, or the one that the environment variable LRNN_ISA names.
template <class Available>
Isa choose_isa(Available available) {
  const char* wanted = getenv("LRNN_ISA");
  for (int i = kIsaCount - 1; i >= 0; --i)
    if (available(Isa(i)) && (!wanted || !*wanted || strcmp(wanted, kIsaNames[i]) == 0)) return Isa(i);
  return Isa::none;
}

}  // namespace lrnn
