// The contract of a step cell: a nonlinear recurrence of one or more states, elementwise over
// channels, sequential in time.
//
// A cell is a struct of plain constants, made from the operator's options by Cell(const double*).
// It says what one element computes and knows nothing of memory, time, threads or resets, which
// belong to the engines. It is a template of R, the type it computes in; V is a scalar or a SIMD
// register of it.
//
// What it says of itself, all static constexpr:
//
//   int kInputs, kParams  streams that change with time; parameters, one value per channel
//   int kStates           states, carried from step to step
//   int kSaved            values per step that the backward pass reads; 0 if y is the state itself
//                         and serves
//   int kGates            values that a step and its pullback both compute from the state before
//                         alone
//   bool kPullsInputs     whether pullback reads x
//   int kCarried          states, the first so many, whose adjoints may differ from 0 before a
//                         step: by these a backward pass in pieces is joined
//
// and what it computes, all const:
//
//   step(x, p, before, after, y, saved, g)
//                         the states after a step, its output, and what its backward pass reads:
//                         saved values of the states after it, and gates, as by the next two
//   save(state, saved)    what the backward pass reads of a state; not needed if kSaved is 0
//   gates(before, g)      from the states or what was saved of them; not needed if kGates is 0
//   pullback(x, p, before, after, g, dy, adjoint, dx, dp)
//                         before and after are what was saved around the step (or y itself), g the
//                         gates; adjoint holds the adjoints of the states after the step and is
//                         left with those before it; dy is the gradient of y. Writes the gradients
//                         of the inputs and this step's share of the parameters'. Linear in dy and
//                         adjoint.
#pragma once

#include <concepts>

#include "../math/functions.h"
#include "info.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kMaxStepStates = 3;

template <class Cell, class V = float>
concept StepCell = requires(const Cell& cell, const V* x, const V* before, V v, V* out,
                            const double* options) {
  { Cell::kInputs + Cell::kParams + Cell::kSaved + Cell::kGates } -> std::convertible_to<int>;
  { Cell::kPullsInputs } -> std::convertible_to<bool>;
  Cell(options);
  cell.step(x, x, before, out, v, out, out);
  cell.pullback(x, x, before, before, before, v, out, out, out);
  requires Cell::kStates >= 1 && Cell::kStates <= kMaxStepStates&& Cell::kCarried <= Cell::kStates;
};

template <template <class> class CellOf>
  requires StepCell<CellOf<float>>
constexpr CellInfo step_info(const char* name) {
  using Cell = CellOf<float>;
  return {name,
          Cell::kInputs,
          Cell::kParams,
          false,
          Cell::kSaved ? Saves::steps : Saves::output,
          Cell::kStates,
          Cell::kSaved,
          true};
}

}  // namespace lrnn::LRNN_ISA
