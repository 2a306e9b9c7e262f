#include "../cells/linear.h"

#include "affine.h"

namespace lrnn::LRNN_ISA {

Kernels linear_kernels(Storage storage) { return affine_kernels<Linear, true>(storage); }

Kernels linear_per_channel_kernels(Storage storage) { return affine_kernels<LinearPerChannel, true>(storage); }

}  // namespace lrnn::LRNN_ISA
