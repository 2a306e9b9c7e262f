#include "../cells/src.h"

#include "step.h"

namespace lrnn::LRNN_ISA {

Kernels src_kernels(Storage storage) { return step_kernels<SrcFull>(storage); }

Kernels src_detached_kernels(Storage storage) { return step_kernels<SrcDetached>(storage); }

}  // namespace lrnn::LRNN_ISA
