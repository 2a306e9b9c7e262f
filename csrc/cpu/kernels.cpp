#include "kernels.h"

#include <stdlib.h>
#include <string.h>

#include "../cells/fq_bmru.h"
#include "../cells/hysteresis.h"
#include "../cells/linear.h"
#include "../cells/min_gru.h"

namespace lrnn {

#define LRNN_DECLARE(name, Cell)   \
  namespace baseline {             \
  Kernels name##_kernels(Storage); \
  }                                \
  namespace avx2 {                 \
  Kernels name##_kernels(Storage); \
  }                                \
  namespace avx512 {               \
  Kernels name##_kernels(Storage); \
  }
LRNN_AFFINE_CELLS(LRNN_DECLARE)
LRNN_DECLARE(bmru, )
#undef LRNN_DECLARE

namespace {

using namespace LRNN_ISA;
using Find = Kernels (*)(Storage);

template <class Cell>
constexpr bool kIsComplex = false;
template <>
constexpr bool kIsComplex<Linear> = true;
template <>
constexpr bool kIsComplex<LinearPerChannel> = true;

// A set that this build leaves out has no kernels to point at.
#if defined(LRNN_HAVE_BASELINE)
#define LRNN_BASELINE(name) baseline::name##_kernels
#else
#define LRNN_BASELINE(name) nullptr
#endif
#if defined(LRNN_HAVE_AVX2)
#define LRNN_AVX2(name) avx2::name##_kernels
#else
#define LRNN_AVX2(name) nullptr
#endif
#if defined(LRNN_HAVE_AVX512)
#define LRNN_AVX512(name) avx512::name##_kernels
#else
#define LRNN_AVX512(name) nullptr
#endif
#define LRNN_ROW(name, Cell) {LRNN_BASELINE(name), LRNN_AVX2(name), LRNN_AVX512(name)},
constexpr Find kTable[][3] = {LRNN_AFFINE_CELLS(LRNN_ROW) LRNN_ROW(bmru, )};
#undef LRNN_ROW

bool processor_runs(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == Isa::avx512) return __builtin_cpu_supports("x86-64-v4");
  if (isa == Isa::avx2) return __builtin_cpu_supports("x86-64-v3");
#endif
  return isa == Isa::baseline;
}

}  // namespace

#define LRNN_INFO(name, Cell) {#name, Cell::kInputs, Cell::kParams, kIsComplex<Cell>, Cell::kUsesState, false},
const CellInfo kCells[] = {LRNN_AFFINE_CELLS(LRNN_INFO){"bmru", 2, 1, false, false, true}};
#undef LRNN_INFO
const size_t kCellCount = sizeof(kCells) / sizeof(kCells[0]);

bool isa_available(Isa isa) { return kTable[0][static_cast<int>(isa)] && processor_runs(isa); }

Isa chosen_isa() {
  static const Isa isa = [] {
    const char* wanted = getenv("LRNN_ISA");
    for (int i = 2; i >= 0; --i)
      if (isa_available(Isa(i)) && (!wanted || !*wanted || strcmp(wanted, kIsaNames[i]) == 0)) return Isa(i);
    return Isa::baseline;
  }();
  return isa;
}

Kernels find_kernels(size_t cell, Storage storage) { return kTable[cell][static_cast<int>(chosen_isa())](storage); }

}  // namespace lrnn
