#include "../cells/min_gru.h"
#include "launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels min_gru_gpu_kernels(Storage storage) { return gpu_kernels<MinGru<false>>(storage); }

GpuKernels min_gru_positive_gpu_kernels(Storage storage) { return gpu_kernels<MinGru<true>>(storage); }

}  // namespace lrnn
