// LSTM, long short-term memory: i = sigmoid(p_i + W_i h'), f = sigmoid(p_f + W_f h'), g = tanh(p_g
// + W_g h'), o = sigmoid(p_o + W_o h'), c = f c' + i g, h = o tanh(c).
//
// Inputs p_i, p_f, p_g, p_o; states h, which is y, and c.
#pragma once

#include "matrix_cell.h"

namespace lrnn::LRNN_ISA {

template <class R>
struct Lstm {
  static constexpr int kInputs = 4, kParams = 0, kTerms = 4, kLate = 0, kStates = 2, kSaved = 4,
                       kGates = 0;
  static constexpr bool kPullsInputs = false;

  template <class V>
  LRNN_HD static void step(const V* x, const V* q, const V*, const V* before, V* after, V& y,
                           V* saved) {
    const V i = sigmoid(x[0] + q[0]), f = sigmoid(x[1] + q[1]), g = tanh(x[2] + q[2]),
            o = sigmoid(x[3] + q[3]);
    after[1] = f * before[1] + i * g;
    after[0] = y = o * tanh(after[1]);
    saved[0] = i;
    saved[1] = f;
    saved[2] = g;
    saved[3] = o;
  }

  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const V* saved, const V* before, V, V dy,
                               V* adjoint, V* dx, V* dq, V*) {
    const V one = constant<V>(1), i = saved[0], f = saved[1], g = saved[2], o = saved[3];
    const V squashed = tanh(f * before[1] + i * g);
    const V dh = adjoint[0] + dy, dc = adjoint[1] + dh * o * (one - squashed * squashed);
    dx[0] = dq[0] = dc * g * (i * (one - i));
    dx[1] = dq[1] = dc * before[1] * (f * (one - f));
    dx[2] = dq[2] = dc * i * (one - g * g);
    dx[3] = dq[3] = dh * squashed * (o * (one - o));
    adjoint[0] = V{};
    adjoint[1] = dc * f;
  }
};

}  // namespace lrnn::LRNN_ISA
