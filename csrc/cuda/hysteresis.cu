#include "../cells/hysteresis.h"
#include "launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels hysteresis_gpu_kernels(Storage storage) { return gpu_kernels<Hysteresis<Alpha::kPerChannel>>(storage); }

GpuKernels hysteresis_per_step_gpu_kernels(Storage storage) { return gpu_kernels<Hysteresis<Alpha::kPerStep>>(storage); }

}  // namespace lrnn
