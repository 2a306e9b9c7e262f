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

// Of a cell of the matrix engine that has an operator which takes the product of its inputs, too.
std::optional<MatrixInfo> drivable(size_t cell);

}  // namespace lrnn
