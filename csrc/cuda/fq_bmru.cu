#include "../cells/fq_bmru.h"
#include "launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuKernels fq_bmru_gpu_kernels(Storage storage) { return gpu_kernels<FqBmru>(storage); }

}  // namespace lrnn
