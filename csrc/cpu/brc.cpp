#include "../cells/brc.h"

#include "step.h"

namespace lrnn::LRNN_ISA {

Kernels brc_kernels(Storage storage) { return step_kernels<Brc>(storage); }

}  // namespace lrnn::LRNN_ISA
