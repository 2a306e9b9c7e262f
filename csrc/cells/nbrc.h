// nBRC, the neuromodulated bistable recurrent cell: the BRC's step with recurrent terms from matrix
// products, a = 1 + tanh(p_a + W_a h'), c = sigmoid(p_c + W_c h'), h = c h' + (1-c) tanh(p_h + a
// h').
//
// Saved are both gates' whole pre-activations.
#pragma once

#include "brc.h"
#include "matrix_cell.h"

namespace lrnn::LRNN_ISA {

template <class R>
struct Nbrc {
  static constexpr int kInputs = 3, kParams = 0, kTerms = 2, kLate = 0, kStates = 1, kSaved = 2,
                       kGates = 0;
  static constexpr bool kPullsInputs = true;

  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V*, const V* before, V* after, V& y,
                           V* saved) {
    const V whole[3] = {x[0] + q[0], x[1] + q[1], x[2]}, none[2] = {};
    V* const nothing = nullptr;
    Brc<R>(nullptr).step(whole, none, before, after, y, nothing, nothing);
    saved[0] = whole[0];
    saved[1] = whole[1];
  }

  template <class V>
  LRNN_HD static void pullback(const V* x, const V*, const V* saved, const V* before, V, V dy,
                               V* adjoint, V* dx, V* dq, V*) {
    const V whole[3] = {saved[0], saved[1], x[2]}, none[2] = {};
    V unused[2], *const nothing = nullptr;
    Brc<R>(nullptr).pullback(whole, none, before, before, nothing, dy, adjoint, dx, unused);
    dq[0] = dx[0];
    dq[1] = dx[1];
  }
};

}  // namespace lrnn::LRNN_ISA
