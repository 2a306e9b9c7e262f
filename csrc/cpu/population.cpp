// The kernels of one line of neurons/list.h for one instruction set.
#include "../neurons/unit.h"
#include LRNN_NEURON_FILE

#include "engines/population.h"

namespace lrnn::LRNN_ISA {

const PopulationKernels* LRNN_JOIN(LRNN_NEURON, _population)(bool is_double, Scheme scheme) {
  return population_kernels<LRNN_STRUCT>(is_double, scheme);
}

}  // namespace lrnn::LRNN_ISA
