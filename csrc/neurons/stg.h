// The neuron of the stomatogastric ganglion of Liu, Golowasch, Marder and Abbott, J. Neurosci. 18,
// 2309 (1998), with its calcium.
//
// Channels Na, Kd, CaT, CaS, KCa, A, H, leak; states V, m_Na, h_Na, m_Kd, m_CaT, h_CaT, m_CaS,
// h_CaS, m_KCa, m_A, h_A, m_H, Ca.
#pragma once

#include "model.h"

namespace lrnn::LRNN_ISA {

struct Stg {
  static constexpr int kChannels = 8, kGates = 11, kOwn = 1, kRates = 0, kScaled = 7, kStiff = -1;
  static constexpr double kTau = 20, kLow = -85, kHigh = 75;

  // Quadratic where that is as close as the worst of the cubic ones is, to 5e-5: what bends over
  // more than 11 mV.
  static constexpr int degree(int f) {
    constexpr bool kWide[22] = {0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0};
    return kWide[f] ? 2 : 3;
  }

  template <int i, class V>
  LRNN_HD static Gate<V> gate(V v) {
    using S = Scalar<V>;
    const V one = constant<V>(1);
    if constexpr (i == 0) return sigmoid_gate(v, -5.29, 25.5, 1.32, -1.26, -25, 120);
    if constexpr (i == 1) {  // tau is the product of two
      const V q = exp_of(v, -10, 62.9) + S(1), s = exp_of(v, 3.6, 34.9) + S(1);
      return {one, exp_of(v, 5.18, 48.9) + S(1), s * S(0.67 * 1.5) + S(0.67), q * s};
    }
    if constexpr (i == 2) return sigmoid_gate(v, -11.8, 12.3, 7.2, -6.4, -19.2, 28.3);
    if constexpr (i == 3) return sigmoid_gate(v, -7.2, 27.1, 21.7, -21.3, -20.5, 68.1);
    if constexpr (i == 4) return sigmoid_gate(v, 5.5, 32.1, 105, -89.8, -16.9, 55);
    if constexpr (i == 5) {
      const V s = exp_of(v, 10, 27) + exp_of(v, -13, 70);
      return {one, exp_of(v, -8.1, 33) + S(1), s * S(1.4) + S(7), s};
    }
    if constexpr (i == 6) {
      const V s = exp_of(v, 9, 55) + exp_of(v, -16, 65);
      return {one, exp_of(v, 6.2, 60) + S(1), s * S(60) + S(150), s};
    }
    if constexpr (i == 7) return sigmoid_gate(v, -12.6, 28.3, 90.3, -75.1, -22.7, 46);
    if constexpr (i == 8) return sigmoid_gate(v, -8.7, 27.2, 11.6, -10.4, -15.2, 32.9);
    if constexpr (i == 9) return sigmoid_gate(v, 4.9, 56.9, 38.6, -29.2, -26.5, 38.9);
    if constexpr (i == 10) return sigmoid_gate(v, 6, 70, 272, 1499, -8.73, 42.2);
  }

  template <class V>
  LRNN_HD static Quotient<V> scale(const V* own) {
    return {own[0], own[0] + Scalar<V>(3)};
  }

  template <class How, class V>
  LRNN_HD static void step(const How& how, const V* g, V current, V* state, V& E) {
    using S = Scalar<V>;
    V *const x = state + 1, &calcium = state[12];
    const V v = state[0];
    how.template relax<Stg>(v, &calcium, x, nullptr);
    const V na = g[0] * (x[0] * x[0]) * (x[0] * x[1]);
    const V ca = g[2] * (x[3] * x[3]) * (x[3] * x[4]) + g[3] * (x[5] * x[5]) * (x[5] * x[6]);
    const V kd = x[2] * x[2], kca = x[7] * x[7];
    const V k = g[1] * (kd * kd) + g[4] * (kca * kca) + g[5] * (x[8] * x[8]) * (x[8] * x[9]);
    const V h = g[6] * x[10], leak = g[7];
    const Membrane<V> m{(na + ca) + (k + (h + leak)),
                        (ca - k) * S(80) + ((na - leak) * S(50) + (current - h * S(20)))};
    const V after = how.voltage(v, m, E);
    const V seen = How::kSecondOrder ? (v + after) * S(0.5) : v;
    const V influx = ca * (S(80) - seen);  // of calcium, as a current
    calcium = calcium + (influx * S(0.94) + S(0.05) - calcium) * how.share;
    state[0] = after;
  }
};

}  // namespace lrnn::LRNN_ISA
