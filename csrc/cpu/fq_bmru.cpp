#include "../cells/fq_bmru.h"

#include "affine.h"

namespace lrnn::LRNN_ISA {

Kernels fq_bmru_kernels(Storage storage) { return affine_kernels<FqBmru, false>(storage); }

}  // namespace lrnn::LRNN_ISA
