// MGU, the minimal gated unit: f = sigmoid(p_f + W_f h'), h = (1-f) h' + f n, where the gate acts
// before the candidate's product, n = tanh(p_n + W_n (f h')), as in the paper, or after it, n =
// tanh(p_n + f (W_n h')).
//
// Inputs p_f, p_n.
#pragma once

#include "matrix_cell.h"

namespace lrnn::LRNN_ISA {

template <class R>
struct Mgu {
  static constexpr int kInputs = 2, kParams = 0, kTerms = 2, kLate = 1, kStates = 1, kSaved = 2,
                       kGates = 1;
  static constexpr bool kPullsInputs = false;

  template <class V>
  LRNN_HD static void gates(const V* x, const V* q, V* saved) {
    saved[0] = sigmoid(x[0] + q[0]);
  }
  template <class V>
  LRNN_HD static V late(const V* saved, const V* before) {
    return saved[0] * before[0];
  }
  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V*, const V* before, V* after, V& y,
                           V* saved) {
    const V f = saved[0], n = tanh(x[1] + q[1]);
    after[0] = y = (constant<V>(1) - f) * before[0] + f * n;
    saved[1] = n;
  }

  template <class V>
  LRNN_HD static void pull_late(const V*, const V*, const V* saved, const V*, V dy,
                                const V* adjoint, V* dq) {
    dq[1] = (adjoint[0] + dy) * saved[0] * (constant<V>(1) - saved[1] * saved[1]);
  }
  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const V* saved, const V* before, V dlate, V dy,
                               V* adjoint, V* dx, V* dq, V*) {
    const V one = constant<V>(1), f = saved[0], n = saved[1], h = before[0], dh = adjoint[0] + dy;
    dx[1] = dq[1];
    dx[0] = dq[0] = (dh * (n - h) + dlate * h) * (f * (one - f));
    adjoint[0] = dh * (one - f) + dlate * f;
  }
};

template <class R>
struct MguResetAfter {
  static constexpr int kInputs = 2, kParams = 0, kTerms = 2, kLate = 0, kStates = 1, kSaved = 3,
                       kGates = 0;
  static constexpr bool kPullsInputs = false;

  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V*, const V* before, V* after, V& y,
                           V* saved) {
    const V f = sigmoid(x[0] + q[0]), n = tanh(x[1] + f * q[1]);
    after[0] = y = (constant<V>(1) - f) * before[0] + f * n;
    saved[0] = f;
    saved[1] = n;
    saved[2] = q[1];
  }

  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const V* saved, const V* before, V, V dy,
                               V* adjoint, V* dx, V* dq, V*) {
    const V one = constant<V>(1), f = saved[0], n = saved[1], dh = adjoint[0] + dy;
    dx[1] = dh * f * (one - n * n);
    dq[1] = dx[1] * f;
    dx[0] = dq[0] = (dh * (n - before[0]) + dx[1] * saved[2]) * (f * (one - f));
    adjoint[0] = dh * (one - f);
  }
};

}  // namespace lrnn::LRNN_ISA
