#include "../cells/min_gru.h"

#include "affine.h"

namespace lrnn::LRNN_ISA {

Kernels min_gru_kernels(Storage storage) { return affine_kernels<MinGru<false>, false>(storage); }

Kernels min_gru_positive_kernels(Storage storage) { return affine_kernels<MinGru<true>, false>(storage); }

}  // namespace lrnn::LRNN_ISA
