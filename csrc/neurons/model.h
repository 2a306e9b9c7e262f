// The contract of a neuron: a membrane of capacitance 1 uF/cm^2 with channels, whose gates follow
// its voltage. mV, ms, mS/cm^2, uA/cm^2.
//
// A model is a struct with no data: it says what one neuron computes and knows nothing of memory,
// threads, spikes or noise. V is a scalar, a SIMD register or a pack of these. Its states are V,
// kGates gates, then kOwn others: concentrations, channels of several states.
//
// What it says of itself, all static constexpr:
//
//   int kChannels, kGates, kOwn
//   int kRates             functions of the voltage that it takes besides its gates' equations
//   int kScaled            the gate whose x_inf a function of its own states scales, or -1
//   int kStiff             the gate whose tau may be as short as a time step, or -1: it relaxes by
//                          the exponential itself
//   double kTau            ms; the time constant of the states of its own that step() relaxes, or
//                          infinity
//   double kLow, kHigh     mV; the voltages that tables of its functions span
//   int degree(f)          of the polynomials of function f there, 2 or 3; 0: it is not tabled,
//   since
//                          it bends within an interval. x_inf and the relaxation of gate i are
//                          functions 2i and 2i + 1, the rates follow; only an x_inf may be left out
//
// and what it computes, all static:
//
//   gate<i>(v)             gate i at a voltage: see Gate
//   rates(v, r)            the kRates functions; not needed if there are none
//   scale(own)             what x_inf of gate kScaled is multiplied with; not needed if it is -1
//   step(how, g, current, state, E)
//                          takes the states one step further. How is the scheme (scheme.h), E the
//                          reversal potential that the voltage relaxed to in the step before
#pragma once

#include <concepts>

#include "arithmetic.h"

namespace lrnn::LRNN_ISA {

// A gate's equation dx/dt = (x_inf - x) / tau at a voltage, with x_inf = p / q and tau = n / d: so
// that a scheme divides once.
template <class V>
struct Gate {
  V p, q, n, d;
};

// x_inf = 1 / (1 + exp((v + C) / c)), tau = a + b / (1 + exp((v + D) / d)).
template <class V>
LRNN_HD Gate<V> sigmoid_gate(V v, double c, double C, double a, double b, double d, double D) {
  using S = Scalar<V>;
  const V q = exp_of(v, d, D) + S(1);
  return {constant<V>(1), exp_of(v, c, C) + S(1), q * S(a) + S(b), q};
}

// dv/dt = J - G v: the membrane, all of whose channels are linear in the voltage.
template <class V>
struct Membrane {
  V G, J;
};

template <class Model, class V = double>
concept NeuronModel = requires(V v, const V* in, V* out) {
  requires Model::kChannels >= 1 && Model::kGates >= 1 && Model::kOwn >= 0;
  requires Model::kRates >= 0 && Model::kScaled < Model::kGates&& Model::kStiff < Model::kGates;
  requires Model::kLow < Model::kHigh;
  { Model::degree(0) } -> std::same_as<int>;
  { Model::template gate<0>(v) } -> std::same_as<Gate<V>>;
  { Model::template gate<Model::kGates - 1>(v) } -> std::same_as<Gate<V>>;
  requires Model::kRates == 0 || requires { Model::rates(v, out); };
  requires Model::kScaled < 0 || requires {
    { Model::scale(in) } -> std::same_as<Quotient<V>>;
  };
};

template <class Model>
inline constexpr int kStates = 1 + Model::kGates + Model::kOwn;

}  // namespace lrnn::LRNN_ISA
