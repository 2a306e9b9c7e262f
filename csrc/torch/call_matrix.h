// What a call of a matrix cell has besides other calls: matrices for parameters, and what its
// forward pass saves, (B,T,nC) of the carry type, the values of a step side by side: see
// cells/matrix_cell.h.
#pragma once

#include "call.h"

namespace lrnn {

struct __attribute__((visibility("hidden"))) MatrixCall : Call {
  MatrixInfo info;
  Tensors matrices, vectors;  // contiguous; the matrices hold info.terms blocks of (C,C) in all

  MatrixCall(const CellInfo& cell, const MatrixInfo& info, const Tensors& inputs,
             const Tensors& params, bool reverse)
      : Call(cell, inputs, {}, {}, reverse), info(info) {
    set_params(params, 0);
  }

  // Of whose parameters nothing is known yet.
  MatrixCall(const CellInfo& cell, const MatrixInfo& info, const Tensors& inputs, bool reverse)
      : Call(cell, inputs, {}, {}, reverse), info(info) {}

  // The parameters from the first one on.
  void set_params(const Tensors& params, size_t first) {
    const int64_t C = args.C;
    int64_t rows = 0;
    for (size_t i = first; i < params.size(); ++i) {
      const Tensor& x = params[i];
      check_device(x, this->inputs[0], cell.name);
      STD_TORCH_CHECK(x.scalar_type() == carry, cell.name,
                      ": parameters must have the carry dtype");
      if (rows < info.terms * C) {
        STD_TORCH_CHECK(x.dim() == 2 && x.size(1) == C && C > 0 && x.size(0) % C == 0 &&
                            x.size(0) <= info.terms * C - rows,
                        cell.name, ": matrices must be (n ", C, ", ", C, "), n of all of them ",
                        info.terms);
        rows += x.size(0);
        matrices.push_back(without_gaps(x));
      } else {
        STD_TORCH_CHECK(x.dim() == 1 && x.size(0) == C, cell.name, ": a parameter must be (", C,
                        ",)");
        vectors.push_back(without_gaps(x));
      }
    }
    STD_TORCH_CHECK(rows == info.terms * C && static_cast<int>(vectors.size()) == info.params,
                    cell.name, ": got ", params.size(), " parameters that do not make matrices of ",
                    info.terms, " blocks and ", info.params, " vectors");
    for (size_t i = 0; i < vectors.size(); ++i)
      args.params[i] = stream<const void>(vectors[i], 1, 0);
  }

  // Block i of the matrices, (C,C).
  const void* block(int64_t i) const {
    const int64_t C = args.C;
    size_t matrix = 0;
    for (; i >= matrices[matrix].size(0) / C; ++matrix) i -= matrices[matrix].size(0) / C;
    return static_cast<const char*>(matrices[matrix].const_data_ptr()) +
           i * C * C * scalar_bytes(carry);
  }

  Tensor new_saved(bool save) const {
    if (!save) return new_contiguous({0}, ScalarType::Int);
    return new_contiguous({args.B, args.T, info.saved * args.C}, carry);
  }

  // What the forward pass saved, checked.
  Tensor saved(const Optional& states) const {
    STD_TORCH_CHECK(states && states->dim() == 3 && states->size(0) == args.B &&
                        states->size(1) == args.T && states->size(2) == info.saved * args.C &&
                        states->scalar_type() == carry && states->is_contiguous(),
                    cell.name, "_backward: states must be what was saved of the forward pass");
    check_device(*states, inputs[0], cell.name);
    return *states;
  }
};

}  // namespace lrnn
