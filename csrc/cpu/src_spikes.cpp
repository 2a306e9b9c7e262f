#include "../cells/src.h"
#include "step.h"

namespace lrnn::LRNN_ISA {

Kernels src_spikes_kernels(Storage storage) { return step_kernels<SrcSpikes>(storage); }

Kernels src_spikes_detached_kernels(Storage storage) { return step_kernels<SrcSpikesDetached>(storage); }

}  // namespace lrnn::LRNN_ISA
