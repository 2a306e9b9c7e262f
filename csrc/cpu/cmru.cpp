#include "../cells/hysteresis.h"
#include "affine.h"

namespace lrnn::LRNN_ISA {

Kernels cmru_kernels(Storage storage) { return affine_kernels<Cmru<Alpha::kPerChannel>, false>(storage); }

Kernels cmru_per_step_kernels(Storage storage) { return affine_kernels<Cmru<Alpha::kPerStep>, false>(storage); }

}  // namespace lrnn::LRNN_ISA
