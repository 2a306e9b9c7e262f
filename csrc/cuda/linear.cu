#include "../cells/linear.h"
#include "launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels linear_gpu_kernels(Storage storage) { return gpu_kernels<Linear, Numbers::complex>(storage); }

GpuKernels linear_per_channel_gpu_kernels(Storage storage) { return gpu_kernels<LinearPerChannel, Numbers::split>(storage); }

}  // namespace lrnn
