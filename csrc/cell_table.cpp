#include "cell_table.h"

#include <string.h>

#include "cells/brc.h"
#include "cells/fq_bmru.h"
#include "cells/hysteresis.h"
#include "cells/linear.h"
#include "cells/min_gru.h"
#include "cells/src.h"

namespace lrnn {
namespace {

using namespace LRNN_ISA;

template <class Cell>
constexpr bool kIsComplex = false;
template <>
constexpr bool kIsComplex<Linear> = true;
template <>
constexpr bool kIsComplex<LinearPerChannel> = true;

}  // namespace

#define LRNN_AFFINE(name, Cell) \
  {#name, Cell::kInputs, Cell::kParams, kIsComplex<Cell>, Cell::kUsesState ? Saves::output : Saves::nothing, 1, 0, false},
#define LRNN_STEP(name, Cell)                          \
  {#name,                                              \
   Cell<float>::kInputs,                               \
   Cell<float>::kParams,                               \
   false,                                              \
   Cell<float>::kSaved ? Saves::steps : Saves::output, \
   Cell<float>::kStates,                               \
   Cell<float>::kSaved,                                \
   true},
const CellInfo kCells[kCellCount] = {LRNN_AFFINE_CELLS(LRNN_AFFINE){"bmru", 2, 1, false, Saves::bits, 1, 0, false},
                                     LRNN_STEP_CELLS(LRNN_STEP)};
#undef LRNN_AFFINE
#undef LRNN_STEP

size_t cell_index(const char* name) {
  size_t i = 0;
  while (i < kCellCount && strcmp(name, kCells[i].name) != 0) ++i;
  return i;
}

}  // namespace lrnn
