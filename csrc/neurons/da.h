// The midbrain dopaminergic neuron of Qian, Yu, Tucker, Levitan and Canavier, J. Neurophysiol. 112
// (2014), with the removable singularity of its rate where the rounded constants have a pole.
//
// Channels Na, Kd, CaL, CaN, ERG, NMDA, leak; states V, m_Na, h_Na, n_Kd, m_CaL, m_CaN, and of ERG,
// o (open) and i (inactivated).
#pragma once

#include "model.h"

namespace lrnn::LRNN_ISA {

struct Da {
  static constexpr int kChannels = 7, kGates = 5, kOwn = 2, kRates = 5, kScaled = -1, kStiff = 0;
  static constexpr double kTau = __builtin_inf(), kLow = -95, kHigh = 65;
  // x_inf of CaL bends within 2 mV.
  static constexpr int degree(int f) { return f == 6 ? 0 : 3; }

  template <int i, class V>
  LRNN_HD static Gate<V> gate(V v) {
    using S = Scalar<V>;
    if constexpr (i == 0) {  // tau = 0.01 + 1 / (a y / (1 - exp(-y)) + b), y = 0.5052 v + 19.565
      const auto [y, w] = linear_over_exp(v, -1 / 0.5052, 19.565 / 0.5052);  // of -y
      const V rate = y * S(0.4043 / 0.5052) + w * exp_of(v, -1 / 0.007463, 0) * S(3.0212);
      return {constant<V>(1), exp_of(v, -9.7264, 30.0907) + S(1), rate * S(0.01) + w, rate};
    }
    if constexpr (i == 1) {
      const V s =
          exp_of(v, -1 / 0.063213, 0) * S(5.0754e-4) + exp_of(v, 1 / 0.13442, 0) * S(9.7529);
      return {constant<V>(1), exp_of(v, 10.7665, 54.0289) + S(1), s * S(0.4) + S(1), s};
    }
    if constexpr (i == 2) return sigmoid_gate(v, -12, 25, 20, -18, -10, 38);
    if constexpr (i == 3) return sigmoid_gate(v, -2, 50, 30, -28, -3, 45);
    if constexpr (i == 4) return sigmoid_gate(v, -7, 30, 30, -25, -6, 55);
  }

  // Of ERG: opening, closing, inactivation and recovery; and what magnesium leaves of NMDA.
  template <class V>
  LRNN_HD static void rates(V v, V* r) {
    using S = Scalar<V>;
    r[0] = exp_of(v, 1 / 0.0759, 0) * S(0.0036);
    r[1] = exp_of(v, -1 / 0.0671, 0) * S(1.2523e-5);
    r[2] = exp_of(v, 1 / 0.1189, 0) * S(0.1);
    r[3] = exp_of(v, -1 / 0.0733, 0) * S(0.003);
    r[4] = reciprocal(exp_of(v, -1 / 0.08, 0) * S(0.14) + S(1));
  }

  template <class How, class V>
  LRNN_HD static void step(const How& how, const V* g, V current, V* state, V& E) {
    using S = Scalar<V>;
    V *const x = state + 1, &open = state[6], &inactive = state[7];
    const V v = state[0];
    V r[kRates];
    how.template relax<Da>(v, nullptr, x, r);
    erg(how, r, open, inactive);
    const V na = g[0] * (x[0] * x[0]) * (x[0] * x[1]);
    const V in = na + (g[2] * (x[3] * x[3]) + g[3] * x[4]);  // these have one reversal potential
    const V k = g[1] * (x[2] * x[2]) * x[2] + g[4] * open, leak = g[6];
    const Membrane<V> m{(in + k) + (g[5] * r[4] + leak),
                        in * S(60) - k * S(85) + (current - leak * S(50))};
    state[0] = how.voltage(v, m, E);
  }

  // do/dt = r0 (1 - o - i) + r3 i - (r2 + r1) o, di/dt = r2 o - r3 i, by the trapezoidal rule or,
  // of first order, the implicit Euler rule; as increments, which round less.
  template <class How, class V>
  LRNN_HD static void erg(const How& how, const V* r, V& o, V& i) {
    using S = Scalar<V>;
    const S part = How::kSecondOrder ? S(0.5) * how.dt : how.dt;
    const V left = r[2] + r[1];
    const V fo = r[0] * (S(1) - o - i) + (r[3] * i - left * o), fi = r[2] * o - r[3] * i;
    const V a = (r[0] + left) * part + S(1), b = (r[0] - r[3]) * part;
    const V c = r[2] * part, d = r[3] * part + S(1);
    const V share = how.divided(constant<V>(how.dt), a * d + b * c);
    const V after = o + (d * fo - b * fi) * share;
    i = i + (a * fi + c * fo) * share;
    o = after;
  }
};

}  // namespace lrnn::LRNN_ISA
