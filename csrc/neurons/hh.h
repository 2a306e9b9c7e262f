// The squid's giant axon of Hodgkin and Huxley, J. Physiol. 117, 500 (1952), at rest at -65 mV.
//
// Channels Na, K, leak; states V, m_Na, h_Na, n_K.
#pragma once

#include "model.h"

namespace lrnn::LRNN_ISA {

struct Hh {
  static constexpr int kChannels = 3, kGates = 3, kOwn = 0, kRates = 0, kScaled = -1, kStiff = -1;
  static constexpr double kTau = __builtin_inf(), kLow = -90, kHigh = 60;
  static constexpr int degree(int) { return 3; }

  // From the rates alpha and beta: x_inf = alpha / (alpha + beta), tau = 1 / (alpha + beta).
  template <int i, class V>
  LRNN_HD static Gate<V> gate(V v) {
    using S = Scalar<V>;
    if constexpr (i == 0) {  // alpha = y / (exp(y) - 1)
      const auto [y, w] = linear_over_exp(v, -10, 40);
      const V sum = y + w * exp_of(v, -18, 65) * S(4);
      return {y, sum, w, sum};
    }
    if constexpr (i == 1) {  // beta = 1 / u
      const V u = exp_of(v, -10, 35) + S(1), a = u * exp_of(v, -20, 65) * S(0.07);
      return {a, a + S(1), u, a + S(1)};
    }
    if constexpr (i == 2) {  // alpha = 0.1 y / (exp(y) - 1)
      const auto [y, w] = linear_over_exp(v, -10, 55);
      const V a = y * S(0.1), sum = a + w * exp_of(v, -80, 65) * S(0.125);
      return {a, sum, w, sum};
    }
  }

  template <class How, class V>
  LRNN_HD static void step(const How& how, const V* g, V current, V* state, V& E) {
    using S = Scalar<V>;
    V* const x = state + 1;
    const V v = state[0];
    how.template relax<Hh>(v, nullptr, x, nullptr);
    const V na = g[0] * (x[0] * x[0]) * (x[0] * x[1]), n2 = x[2] * x[2];
    const V k = g[1] * (n2 * n2), leak = g[2];
    const Membrane<V> m{na + (k + leak), na * S(50) - k * S(77) + (current - leak * S(54.387))};
    state[0] = how.voltage(v, m, E);
  }
};

}  // namespace lrnn::LRNN_ISA
