#include "kernels.h"

#include "nbrc.h"

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
LRNN_STEP_CELLS(LRNN_DECLARE)
#undef LRNN_DECLARE
namespace baseline {
NbrcKernels nbrc_kernels(Storage);
}
namespace avx2 {
NbrcKernels nbrc_kernels(Storage);
}
namespace avx512 {
NbrcKernels nbrc_kernels(Storage);
}

namespace {

using Find = Kernels (*)(Storage);

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
constexpr Find kTable[][3] = {LRNN_AFFINE_CELLS(LRNN_ROW) LRNN_ROW(bmru, ) LRNN_STEP_CELLS(LRNN_ROW)};
#undef LRNN_ROW
constexpr NbrcKernels (*kNbrc[3])(Storage) = {LRNN_BASELINE(nbrc), LRNN_AVX2(nbrc), LRNN_AVX512(nbrc)};

}  // namespace

bool isa_available(Isa isa) { return kTable[0][static_cast<int>(isa)] && processor_runs(isa); }

Isa chosen_isa() {
  static const Isa isa = choose_isa(isa_available);
  return isa;
}

Kernels find_kernels(size_t cell, Storage storage) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? Kernels{} : kTable[cell][static_cast<int>(isa)](storage);
}

NbrcKernels find_nbrc_kernels(Storage storage) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? NbrcKernels{} : kNbrc[static_cast<int>(isa)](storage);
}

}  // namespace lrnn
