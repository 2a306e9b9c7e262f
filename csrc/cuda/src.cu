#include "../cells/src.h"
#include "step_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuStepKernels src_gpu_step_kernels(Storage storage) { return gpu_step_kernels<SrcFull>(storage); }

GpuStepKernels src_detached_gpu_step_kernels(Storage storage) { return gpu_step_kernels<SrcDetached>(storage); }

}  // namespace lrnn
