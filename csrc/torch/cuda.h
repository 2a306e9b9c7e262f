// The operators on a device, to be registered under the dispatch key of its tensors.
#pragma once

#include <torch/csrc/stable/library.h>

#include <vector>

#include "call.h"

namespace lrnn {

// All of them, those of matrix cells and of neurons included.
void register_gpu_operators(torch::stable::detail::StableLibrary& m);
void register_gpu_matrix_cells(torch::stable::detail::StableLibrary& m);
void register_gpu_population(torch::stable::detail::StableLibrary& m);

// What the operator plan says of a forward pass of a matrix cell.
std::vector<int64_t> gpu_matrix_layout(size_t cell, const Tensors& inputs);

}  // namespace lrnn
