// The kernels of one line of cells/list.h for one instruction set.
#include "../cells/unit.h"
#include LRNN_CELL_FILE
#include LRNN_ENGINE_FILE

namespace lrnn::LRNN_ISA {

extern const CellInfo LRNN_JOIN(LRNN_CELL, _info);
constinit const CellInfo LRNN_JOIN(LRNN_CELL,
                                   _info) = LRNN_JOIN(LRNN_ENGINE,
                                                      _info)<LRNN_STRUCT>(LRNN_STRING(LRNN_CELL));

LRNN_JOIN(LRNN_ENGINE, _table) LRNN_JOIN(LRNN_CELL, _kernels)(Storage storage) {
  return LRNN_JOIN(LRNN_ENGINE, _kernels)<LRNN_STRUCT>(storage);
}

}  // namespace lrnn::LRNN_ISA
