#include "kernels.h"

#include <string.h>

#include "../cells/list.h"

namespace lrnn {

#define LRNN_DECLARE(name, Cell) GpuKernels name##_gpu_kernels(Storage);
LRNN_AFFINE_CELLS(LRNN_DECLARE)
LRNN_DECLARE(bmru, )
#undef LRNN_DECLARE
#define LRNN_DECLARE(name, Cell) GpuStepKernels name##_gpu_step_kernels(Storage);
LRNN_STEP_CELLS(LRNN_DECLARE)
#undef LRNN_DECLARE

GpuKernels find_gpu_kernels(const char* cell, Storage storage) {
#define LRNN_FIND(name, Cell) \
  if (strcmp(cell, #name) == 0) return name##_gpu_kernels(storage);
  LRNN_AFFINE_CELLS(LRNN_FIND)
  LRNN_FIND(bmru, )
#undef LRNN_FIND
  return {};
}

GpuStepKernels find_gpu_step_kernels(const char* cell, Storage storage) {
#define LRNN_FIND(name, Cell) \
  if (strcmp(cell, #name) == 0) return name##_gpu_step_kernels(storage);
  LRNN_STEP_CELLS(LRNN_FIND)
#undef LRNN_FIND
  return {};
}

}  // namespace lrnn
