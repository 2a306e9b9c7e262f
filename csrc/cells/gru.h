// GRU, the gated recurrent unit: r = sigmoid(p_r + W_r h'), z = sigmoid(p_z + W_z h'), h = (1-z) n
// + z h', where the reset gate r acts after the candidate's product, n = tanh(p_n + r (W_n h' +
// b)), as in torch and cuDNN, or before it, n = tanh(p_n + W_n (r h') + b), as in the paper.
//
// Inputs p_r, p_z, p_n; parameter b.
#pragma once

#include "matrix_cell.h"

namespace lrnn::LRNN_ISA {

// z h' + (1-z) n, which holds h' to the bit where z is 1.
template <class V>
LRNN_HD V between(V z, V n, V h) {
  return z * h + (constant<V>(1) - z) * n;
}

template <class R>
struct Gru {
  static constexpr int kInputs = 3, kParams = 1, kTerms = 3, kLate = 0, kStates = 1, kSaved = 4,
                       kGates = 0;
  static constexpr bool kPullsInputs = false;

  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V* p, const V* before, V* after, V& y,
                           V* saved) {
    const V r = sigmoid(x[0] + q[0]), z = sigmoid(x[1] + q[1]), recurrent = q[2] + p[0];
    const V n = tanh(x[2] + r * recurrent);
    after[0] = y = between(z, n, before[0]);
    saved[0] = r;
    saved[1] = z;
    saved[2] = n;
    saved[3] = recurrent;
  }

  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const V* saved, const V* before, V, V dy,
                               V* adjoint, V* dx, V* dq, V* dp) {
    const V one = constant<V>(1), r = saved[0], z = saved[1], n = saved[2], dh = adjoint[0] + dy;
    dx[2] = dh * (one - z) * (one - n * n);
    dx[1] = dq[1] = dh * (before[0] - n) * (z * (one - z));
    dx[0] = dq[0] = dx[2] * saved[3] * (r * (one - r));
    dp[0] = dq[2] = dx[2] * r;
    adjoint[0] = dh * z;
  }
};

template <class R>
struct GruResetBefore {
  static constexpr int kInputs = 3, kParams = 1, kTerms = 3, kLate = 1, kStates = 1, kSaved = 3,
                       kGates = 2;
  static constexpr bool kPullsInputs = false;

  template <class V>
  LRNN_HD static void gates(const V* x, const V* q, V* saved) {
    saved[0] = sigmoid(x[0] + q[0]);
    saved[1] = sigmoid(x[1] + q[1]);
  }
  template <class V>
  LRNN_HD static V late(const V* saved, const V* before) {
    return saved[0] * before[0];
  }
  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V* p, const V* before, V* after, V& y,
                           V* saved) {
    saved[2] = tanh(x[2] + (q[2] + p[0]));
    after[0] = y = between(saved[1], saved[2], before[0]);
  }

  template <class V>
  LRNN_HD static void pull_late(const V*, const V*, const V* saved, const V*, V dy,
                                const V* adjoint, V* dq) {
    const V one = constant<V>(1), z = saved[1], n = saved[2];
    dq[2] = (adjoint[0] + dy) * (one - z) * (one - n * n);
  }
  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const V* saved, const V* before, V dlate, V dy,
                               V* adjoint, V* dx, V* dq, V* dp) {
    const V one = constant<V>(1), r = saved[0], z = saved[1], n = saved[2], dh = adjoint[0] + dy;
    dx[2] = dp[0] = dq[2];
    dx[1] = dq[1] = dh * (before[0] - n) * (z * (one - z));
    dx[0] = dq[0] = dlate * before[0] * (r * (one - r));
    adjoint[0] = dh * z + dlate * r;
  }
};

}  // namespace lrnn::LRNN_ISA
