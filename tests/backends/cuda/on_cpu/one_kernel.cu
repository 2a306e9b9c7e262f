// A cell of each engine in float32, quick to compile: what the tests that plant bugs run. The
// engine is found along the include path.
#include <string.h>

#include "cells/gru.h"
#include "cells/linear.h"
#include "cells/lstm.h"
#include "cells/src.h"
#include "cuda/engines/latch_launch.cuh"
#include "cuda/engines/matrix_launch.cuh"
#include "cuda/engines/step_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels find_gpu_kernels(const char* cell, Storage) {
  return strcmp(cell, "bmru") == 0 ? latch_gpu_kernels_of<Real<float, float>>()
                                   : gpu_kernels_of<LinearPerChannel, Real<float, float>>();
}

// Wide ones, whose blocks talk to one another, of few numbers and of many a step.
GpuMatrixKernels find_gpu_matrix_kernels(const char* cell, Storage) {
  return strcmp(cell, "lstm") == 0
             ? MatrixLauncher<Lstm, float, float>::kernels<kGpuMatrixChannels>()
             : MatrixLauncher<GruResetBefore, float, float>::kernels<kGpuMatrixChannels>();
}
GpuStepKernels find_gpu_step_kernels(const char*, Storage) {
  return StepLauncher<SrcFull, float, float>::kernels();
}

}  // namespace lrnn
