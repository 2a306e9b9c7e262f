#include "latch_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels bmru_gpu_kernels(Storage storage) { return latch_gpu_kernels(storage); }

}  // namespace lrnn
