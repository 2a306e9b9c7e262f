// The CUDA kernels of one line of neurons/list.h.
#include "../neurons/unit.h"
#include LRNN_NEURON_FILE
#include "engines/population_launch.cuh"

namespace lrnn {

GpuPopulationKernels LRNN_JOIN(LRNN_NEURON, _gpu_population)(bool is_double, Scheme scheme) {
  return LRNN_ISA::gpu_population<LRNN_ISA::LRNN_STRUCT>(is_double, scheme);
}

}  // namespace lrnn
