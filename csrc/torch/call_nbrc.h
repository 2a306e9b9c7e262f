// What a call of the nBRC has besides other calls: matrices for parameters, and what its forward
// pass saves, (B,T,3C) of the carry type: both gates' whole pre-activations, and the state before
// the step.
#pragma once

#include "call.h"

namespace lrnn {

inline constexpr CellInfo kNbrc{"nbrc", 3, 0,   false, Saves::nothing,
                                1,      0, true};  // what it saves and takes is handled here

// W_a and W_c, (C,C) each, contiguous.
inline Tensors nbrc_matrices(const Call& call, const Tensors& params) {
  const int64_t C = call.args.C;
  STD_TORCH_CHECK(params.size() == 2, "nbrc: got ", params.size(), " parameters, expected 2");
  Tensors matrices;
  for (const Tensor& w : params) {
    STD_TORCH_CHECK(
        w.dim() == 2 && w.size(0) == C && w.size(1) == C && w.scalar_type() == call.carry,
        "nbrc: a parameter must be (", C, ", ", C, ") in the carry dtype");
    check_device(w, call.inputs[0], "nbrc");
    matrices.push_back(without_gaps(w));
  }
  return matrices;
}

inline Tensor nbrc_new_saved(const Call& call, bool save) {
  if (!save) return new_contiguous({0}, ScalarType::Int);
  return new_contiguous({call.args.B, call.args.T, 3 * call.args.C}, call.carry);
}

inline Tensor nbrc_saved(const Call& call, const Optional& states) {
  const ScanArgs& args = call.args;
  STD_TORCH_CHECK(states && states->dim() == 3 && states->size(0) == args.B &&
                      states->size(1) == args.T && states->size(2) == 3 * args.C &&
                      states->scalar_type() == call.carry && states->is_contiguous(),
                  "nbrc_backward: states must be what was saved of the forward pass");
  check_device(*states, call.inputs[0], "nbrc");
  return *states;
}

}  // namespace lrnn
