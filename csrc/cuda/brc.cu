#include "../cells/brc.h"
#include "step_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuStepKernels brc_gpu_step_kernels(Storage storage) { return gpu_step_kernels<Brc>(storage); }

}  // namespace lrnn
