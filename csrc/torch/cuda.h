// The operators on a device, to be registered under the dispatch key of its tensors.
#pragma once

#include <torch/csrc/stable/library.h>

#include <vector>

#include "call.h"

namespace lrnn {

// All of them, the nBRC's included.
void register_gpu_operators(torch::stable::detail::StableLibrary& m);
void register_gpu_nbrc(torch::stable::detail::StableLibrary& m);

// What the operator plan says of a forward pass of the nBRC.
std::vector<int64_t> gpu_nbrc_layout(const Tensors& inputs);

}  // namespace lrnn
