// What one operator on the CPU runs for another.
#pragma once

#include <tuple>

#include "../watch.h"
#include "call.h"

namespace lrnn {

// A forward pass of any cell but those of the matrix engine, within run_operator. Returns y, h_last
// and what is saved.
std::tuple<Tensor, Tensor, Tensor> run_forward_of(Watch& watch, const CellInfo& cell,
                                                  const Tensors& inputs, const Tensors& params,
                                                  const std::vector<double>& options,
                                                  const Optional& h0, const Optional& reset,
                                                  const Optional& h_reset, bool reverse, bool save);

// Whether a cell of the matrix engine has an operator that takes the product of its inputs, too.
bool is_drivable(size_t cell);

}  // namespace lrnn
