// BRC, the bistable recurrent cell: a = 1 + tanh(p_a + w_a h'), c = sigmoid(p_c + w_c h'), h[t] = c
// h' + (1-c) tanh(p_h + a h').
//
// Inputs p_a, p_c, p_h, the pre-activations U_a x + b_a, U_c x + b_c, U x; parameters w_a, w_c.
// Bistable where a > 1. With the recurrent terms already in p_a and p_c (w_a = w_c = 0) it is the
// elementwise part of a step of the nBRC, see nbrc.h.
#pragma once

#include "step_cell.h"

namespace lrnn::LRNN_ISA {

template <class R>
struct Brc {
  static constexpr int kInputs = 3, kParams = 2, kStates = 1, kSaved = 0, kGates = 0, kCarried = 1;
  static constexpr bool kPullsInputs = true;

  LRNN_HD explicit Brc(const double*) {}

  template <class V>
  LRNN_HD void step(const V* x, const V* p, const V* before, V* after, V& y, V*, V*) const {
    const V h = before[0];
    const V a = tanh(x[0] + p[0] * h) + R(1), c = sigmoid(x[1] + p[1] * h);
    const V candidate = tanh(x[2] + a * h);
    after[0] = y =
        c * h + (constant<V>(1) - c) * candidate;  // which holds h to the bit where c is 1
  }

  template <class V>
  LRNN_HD void pullback(const V* x, const V* p, const V* before, const V*, const V*, V dy,
                        V* adjoint, V* dx, V* dp) const {
    const V one = constant<V>(1), h = before[0], dh = adjoint[0] + dy;
    const V bend = tanh(x[0] + p[0] * h), a = bend + R(1), c = sigmoid(x[1] + p[1] * h);
    const V candidate = tanh(x[2] + a * h);
    const V dpre = dh * (one - c) * (one - candidate * candidate);
    dx[0] = dpre * h * (one - bend * bend);
    dx[1] = dh * (h - candidate) * (c * (one - c));
    dx[2] = dpre;
    dp[0] = dx[0] * h;
    dp[1] = dx[1] * h;
    adjoint[0] = dh * c + dpre * a + dx[0] * p[0] + dx[1] * p[1];
  }
};

}  // namespace lrnn::LRNN_ISA
