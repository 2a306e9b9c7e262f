// How a neuron takes a step of fixed length: what a model's step() is given as how.
//
// Each relaxes the gates by the voltage before the step, exactly in it, then the voltage by the
// gates after it. That is the exponential Euler scheme, which is `Written`. `Standard` mends its
// errors of first order: the voltage relaxes to a reversal potential that moves linearly in time,
// and what follows the voltage slowly sees the mean of its two ends. It also takes dt / (tau +
// dt/2) for a gate's 1 - exp(-dt/tau): an error of third order, and one division a gate.
#pragma once

#include "model.h"

namespace lrnn::LRNN_ISA {

// Gates and rates see no voltage beyond it: they have long saturated there, and exponentials stay
// within the numbers' range.
template <class S>
inline constexpr S kLimit = sizeof(S) == 4 ? S(120) : S(300);  // mV

// What both hold: the step, 1 / step, and 1 - exp(-step / tau) of the model's own states.
template <class V>
struct Times {
  using S = Scalar<V>;
  S dt, per_dt, share;

  template <class Model>
  static Times of(double dt) {
    return {S(dt), S(1 / dt), S(-__builtin_expm1(-dt / Model::kTau))};
  }
};

template <class V>
struct Standard : Times<V> {
  using typename Times<V>::S;
  using Times<V>::dt, Times<V>::per_dt;
  static constexpr bool kSecondOrder = true;

  LRNN_HD V relaxed(V x, const Gate<V>& gate) const {
    const V step = gate.d * dt;
    return x + step * (gate.p - gate.q * x) * reciprocal(gate.q * (gate.n + step * S(0.5)));
  }
  LRNN_HD V relaxed_stiff(V x, const Gate<V>& gate) const {
    const V r = reciprocal(gate.q * gate.n);
    return x + (gate.p * gate.n * r - x) * saturation(gate.d * gate.q * r * dt);
  }
  LRNN_HD V divided(V a, V b) const { return a * reciprocal(b); }

  // All gates, and the rates, at v.
  template <class Model>
  LRNN_HD void relax(V v, const V* own, V* x, V* rates) const {
    relax_all<Model>(*this, v, own, x, rates);
  }

  // The voltage after the step. w is how much of the last move of E it follows: 1/2 (1 + e) - (1 -
  // e)/z with e = exp(-z), which is z^2/12 for small z, less than is left of a sum that rounds.
  LRNN_HD V voltage(V v, const Membrane<V>& m, V& E) const {
    constexpr S kSmall = sizeof(S) == 4 ? S(1e-3) : S(2e-8);
    const V r = reciprocal(m.G), z = m.G * dt, now = m.J * r, k = saturation(z);
    const V w = zero_below(z, kSmall, S(1) - k * (r * per_dt + S(0.5)));
    const V after = v + k * (now - v) + w * (now - E);
    E = now;
    return after;
  }
};

template <class V>
struct Written : Times<V> {
  using typename Times<V>::S;
  using Times<V>::dt;
  static constexpr bool kSecondOrder = false;

  LRNN_HD V relaxed(V x, const Gate<V>& gate) const {
    return x + (quotient(gate.p, gate.q) - x) * saturation(quotient(gate.d, gate.n) * dt);
  }
  LRNN_HD V relaxed_stiff(V x, const Gate<V>& gate) const { return relaxed(x, gate); }
  LRNN_HD V divided(V a, V b) const { return quotient(a, b); }

  template <class Model>
  LRNN_HD void relax(V v, const V* own, V* x, V* rates) const {
    relax_all<Model>(*this, v, own, x, rates);
  }

  LRNN_HD V voltage(V v, const Membrane<V>& m, V& E) const {
    E = quotient(m.J, m.G);
    return v + (E - v) * saturation(m.G * dt);
  }
};

template <class Model, int i = 0, class How, class V>
LRNN_HD void relax_gates(const How& how, V v, const V* own, V* x) {
  if constexpr (i < Model::kGates) {
    Gate<V> gate = Model::template gate<i>(v);
    if constexpr (i == Model::kScaled) {
      const Quotient<V> scale = Model::scale(own);
      gate.p = gate.p * scale.over;
      gate.q = gate.q * scale.under;
    }
    x[i] = i == Model::kStiff ? how.relaxed_stiff(x[i], gate) : how.relaxed(x[i], gate);
    relax_gates<Model, i + 1>(how, v, own, x);
  }
}

template <class Model, class How, class V>
LRNN_HD void relax_all(const How& how, V v, const V* own, V* x, V* rates) {
  using S = Scalar<V>;
  const V within = clamp(v, -kLimit<S>, kLimit<S>);
  relax_gates<Model>(how, within, own, x);
  if constexpr (Model::kRates > 0) Model::rates(within, rates);
}

}  // namespace lrnn::LRNN_ISA
