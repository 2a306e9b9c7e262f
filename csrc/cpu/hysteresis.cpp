#include "../cells/hysteresis.h"

#include "affine.h"

namespace lrnn::LRNN_ISA {

Kernels hysteresis_kernels(Storage storage) { return affine_kernels<Hysteresis<Alpha::kPerChannel>, false>(storage); }

Kernels hysteresis_per_step_kernels(Storage storage) { return affine_kernels<Hysteresis<Alpha::kPerStep>, false>(storage); }

}  // namespace lrnn::LRNN_ISA
