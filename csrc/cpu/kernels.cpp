#include "kernels.h"

#include "nbrc.h"

namespace lrnn {
namespace {

using Find = Kernels (*)(Storage);

}  // namespace

// The kernels of every instruction set, in its namespace. The array of one that is not built is used nowhere.
#define LRNN_DECLARE(name, Cell) Kernels name##_kernels(Storage);
#define LRNN_ENTRY(name, Cell) name##_kernels,
#define LRNN_CELLS(X) LRNN_AFFINE_CELLS(X) X(bmru, ) LRNN_STEP_CELLS(X)
#define LRNN_SET(isa)                                 \
  namespace isa {                                     \
  LRNN_CELLS(LRNN_DECLARE)                            \
  NbrcKernels nbrc_kernels(Storage);                  \
  constexpr Find kCells[] = {LRNN_CELLS(LRNN_ENTRY)}; \
  }
LRNN_ISAS(LRNN_SET)
#undef LRNN_SET
#undef LRNN_CELLS
#undef LRNN_ENTRY
#undef LRNN_DECLARE

namespace {

struct Set {
  const Find* cells;
  NbrcKernels (*nbrc)(Storage);
};

#define LRNN_ROW(isa) {LRNN_WHERE_BUILT_##isa(isa::kCells), LRNN_WHERE_BUILT_##isa(isa::nbrc_kernels)},
constexpr Set kSets[kIsaCount] = {LRNN_ISAS(LRNN_ROW)};
#undef LRNN_ROW

}  // namespace

bool isa_available(Isa isa) { return kSets[static_cast<int>(isa)].cells && processor_runs(isa); }

Isa chosen_isa() {
  static const Isa isa = choose_isa(isa_available);
  return isa;
}

Kernels find_kernels(size_t cell, Storage storage) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? Kernels{} : kSets[static_cast<int>(isa)].cells[cell](storage);
}

NbrcKernels find_nbrc_kernels(Storage storage) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? NbrcKernels{} : kSets[static_cast<int>(isa)].nbrc(storage);
}

}  // namespace lrnn
