// The CUDA kernels of one line of cells/list.h.
#include "../cells/unit.h"
#include LRNN_CELL_FILE
#include LRNN_LAUNCH_FILE

namespace lrnn {

using namespace LRNN_ISA;

extern const CellInfo LRNN_JOIN(LRNN_CELL, _info);
constinit const CellInfo LRNN_JOIN(LRNN_CELL,
                                   _info) = LRNN_JOIN(LRNN_ENGINE,
                                                      _info)<LRNN_STRUCT>(LRNN_STRING(LRNN_CELL));

LRNN_JOIN(gpu_, LRNN_JOIN(LRNN_ENGINE, _table))
LRNN_JOIN(LRNN_CELL, _gpu_kernels)(Storage storage) {
  return LRNN_JOIN(gpu_, LRNN_JOIN(LRNN_ENGINE, _kernels))<LRNN_STRUCT>(storage);
}

}  // namespace lrnn
