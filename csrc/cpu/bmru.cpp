#include "latch.h"

namespace lrnn::LRNN_ISA {

Kernels bmru_kernels(Storage storage) { return latch_kernels(storage); }

}  // namespace lrnn::LRNN_ISA
