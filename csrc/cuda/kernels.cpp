#include "kernels.h"

#include <string.h>

#include "../cells/index.h"

namespace lrnn {

#define LRNN_DECLARE_affine(name) GpuKernels name##_gpu_kernels(Storage);
#define LRNN_DECLARE_latch LRNN_DECLARE_affine
#define LRNN_DECLARE_step(name) GpuStepKernels name##_gpu_kernels(Storage);
#define LRNN_DECLARE_matrix(name) GpuMatrixKernels name##_gpu_kernels(Storage);
#define LRNN_DECLARE(name, header, engine, Cell) \
  extern const CellInfo name##_info;             \
  LRNN_DECLARE_##engine(name)
LRNN_CELLS(LRNN_DECLARE)
#undef LRNN_DECLARE

// The kernels of one family by name: the lines of another engine count for nothing.
#define LRNN_FIND(name) \
  if (strcmp(cell, #name) == 0) return name##_gpu_kernels(storage);
#define LRNN_SKIP(name)

const CellInfo& cell_info(size_t cell) {
#define LRNN_INFO(name, header, engine, Cell) &name##_info,
  static constexpr const CellInfo* kInfos[] = {LRNN_CELLS(LRNN_INFO)};
#undef LRNN_INFO
  return *kInfos[cell];
}

GpuKernels find_gpu_kernels(const char* cell, Storage storage) {
#define LRNN_FIND_affine LRNN_FIND
#define LRNN_FIND_latch LRNN_FIND
#define LRNN_FIND_step LRNN_SKIP
#define LRNN_FIND_matrix LRNN_SKIP
#define LRNN_LINE(name, header, engine, Cell) LRNN_FIND_##engine(name)
  LRNN_CELLS(LRNN_LINE)
#undef LRNN_FIND_matrix
#undef LRNN_FIND_step
#undef LRNN_FIND_latch
#undef LRNN_FIND_affine
  return {};
}

GpuStepKernels find_gpu_step_kernels(const char* cell, Storage storage) {
#define LRNN_FIND_affine LRNN_SKIP
#define LRNN_FIND_latch LRNN_SKIP
#define LRNN_FIND_step LRNN_FIND
#define LRNN_FIND_matrix LRNN_SKIP
  LRNN_CELLS(LRNN_LINE)
  return {};
#undef LRNN_FIND_matrix
#undef LRNN_FIND_step
#undef LRNN_FIND_latch
#undef LRNN_FIND_affine
}

GpuMatrixKernels find_gpu_matrix_kernels(const char* cell, Storage storage) {
#define LRNN_FIND_affine LRNN_SKIP
#define LRNN_FIND_latch LRNN_SKIP
#define LRNN_FIND_step LRNN_SKIP
#define LRNN_FIND_matrix LRNN_FIND
  LRNN_CELLS(LRNN_LINE)
  return {};
}

}  // namespace lrnn
