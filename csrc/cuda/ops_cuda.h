// The operators on a device, to be registered under the dispatch key of its tensors.
#pragma once

#include <torch/csrc/stable/library.h>

namespace lrnn {

// All of them, the nBRC's included.
void register_gpu_operators(torch::stable::detail::StableLibrary& m);
void register_gpu_nbrc(torch::stable::detail::StableLibrary& m);

}  // namespace lrnn
