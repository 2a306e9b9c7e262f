#include "../cells/src.h"
#include "step_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuStepKernels src_spikes_gpu_step_kernels(Storage storage) { return gpu_step_kernels<SrcSpikes>(storage); }

GpuStepKernels src_spikes_detached_gpu_step_kernels(Storage storage) { return gpu_step_kernels<SrcSpikesDetached>(storage); }

}  // namespace lrnn
