#include "../cells/hysteresis.h"
#include "launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels cmru_gpu_kernels(Storage storage) { return gpu_kernels<Cmru<Alpha::kPerChannel>>(storage); }

GpuKernels cmru_per_step_gpu_kernels(Storage storage) { return gpu_kernels<Cmru<Alpha::kPerStep>>(storage); }

}  // namespace lrnn
