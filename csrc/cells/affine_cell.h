// The contract of an affine cell, h[t] = a[t] h[t-1] + b[t], elementwise over channels.
//
// A cell is a struct with no data: it says what one element computes and knows nothing of memory,
// time, threads or resets, which belong to the engines. V is a scalar, a SIMD register, or Complex
// of either; inputs x change with time, parameters p hold one value per channel, options are plain
// numbers.
//
// What it says of itself, all static constexpr:
//
//   int kInputs, kParams  how many of each
//   bool kUsesState       whether pullback reads h_prev; if not, no state need be saved
//   int kReads            of how many inputs, the first ones, a or pullback reads the values;
//                         if not given, of all
//   Numbers kNumbers      which numbers it has kernels for; if not given, real ones
//   bool kForgets         whether an a of 0 is a choice, which drops the state, infinite or NaN
//                         as it may be; if not given, a factor, and 0 times infinity is NaN
//
// and what it computes, both static:
//
//   gate(x, p, options)   returns {a, b}
//   pullback(x, p, options, h_prev, g, dx, dp)
//                         g is the total adjoint of h[t]; writes the gradients of the inputs to dx
//                         and this step's share of the parameters' to dp. The engine itself forms
//                         conj(a) g, the adjoint handed to h[t-1].
#pragma once

#include <concepts>

#include "../math/complex.h"
#include "info.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kMaxInputs = 3, kMaxParams = 3;

template <class V>
struct Gate {
  V a, b;
};

template <class Cell, class V = float>
concept AffineCell = requires(const V* x, const V* p, const double* options, V v, V* d) {
  { Cell::kInputs + Cell::kParams } -> std::convertible_to<int>;
  { Cell::kUsesState } -> std::convertible_to<bool>;
  { Cell::gate(x, p, options) } -> std::same_as<Gate<V>>;
  Cell::pullback(x, p, options, v, v, d, d);
  requires Cell::kInputs >= 1 && Cell::kInputs <= kMaxInputs&& Cell::kParams <= kMaxParams;
};

// Of how many inputs a backward pass needs the values.
template <class Cell>
constexpr int inputs_read() {
  if constexpr (requires { Cell::kReads; })
    return Cell::kReads;
  else
    return Cell::kInputs;
}

// Whether a step may drop the state.
template <class Cell>
inline constexpr bool kMayForget = false;
template <class Cell>
  requires Cell::kForgets
inline constexpr bool kMayForget<Cell> = true;

template <class Cell>
inline constexpr Numbers kNumbers = Numbers::real;
template <class Cell>
  requires requires { Cell::kNumbers; }
inline constexpr Numbers kNumbers<Cell> = Cell::kNumbers;

template <AffineCell Cell>
constexpr CellInfo affine_info(const char* name) {
  const Saves saves = Cell::kUsesState ? Saves::output : Saves::nothing;
  return {name, Cell::kInputs, Cell::kParams, kNumbers<Cell> != Numbers::real, saves, 1, 0, false};
}

// The state after a step.
template <class Cell, class V>
LRNN_HD V stepped(Gate<V> gate, V h) {
  const V next = multiply_add(gate.a, h, gate.b);
  if constexpr (kMayForget<Cell>) return where_zero(gate.a, gate.b, next);
  return next;
}

// The adjoint handed to the state before a step, from the total adjoint of the state after it.
template <class Cell, class V>
LRNN_HD V handed_back(V a, V g) {
  if constexpr (kMayForget<Cell>) return where_zero(a, V{}, conj(a) * g);
  return conj(a) * g;
}

}  // namespace lrnn::LRNN_ISA
