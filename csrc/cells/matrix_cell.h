// The contract of a matrix cell: a nonlinear recurrence whose step multiplies its state with
// matrices. The products belong to the engine; a cell says what is elementwise around them.
//
// A cell is a struct template of R, the type it computes in; V is a scalar or a SIMD register of
// it. Its matrices are kTerms blocks of (C,C), one below the other. The terms q are their products,
// block by block: with the first state before the step, h', or, of the last kLate blocks, with
// another vector, which the cell makes of h' and of what the products before gave.
//
// What it says of itself, all static constexpr:
//
//   int kInputs, kParams  streams that change with time; parameters, one value per channel
//   int kTerms, kLate     blocks of the matrices; those of them, the last ones, that multiply what
//                         late() gives
//   int kStates           states, carried from step to step; the first is multiplied
//   int kSaved, kGates    values per step that the backward pass reads besides the states before
//                         it; those of them, the first ones, that late() needs
//   bool kPullsInputs     whether pullback reads x
//
// and what it computes, all static:
//
//   step(x, q, p, before, after, y, saved)
//                         the states after a step, its output, what its backward pass reads; of a
//                         cell with late terms the first kGates values of saved are given
//   pullback(x, p, saved, before, dlate, dy, adjoint, dx, dq, dp)
//                         adjoint holds the adjoints of the states after the step and is left with
//                         those before it, but for what comes through the matrices; dy is the
//                         gradient of y. Writes the gradients of inputs and terms and this step's
//                         share of the parameters'. Of a cell with late terms dlate is the gradient
//                         of what late() gave, and the late terms' gradients are given already.
//
// and, where kLate is not 0:
//
//   gates(x, q, saved)    the first kGates values of saved, from the terms that are not late
//   late(saved, before)   what the late blocks multiply
//   pull_late(x, p, saved, before, dy, adjoint, dq)
//                         the gradients of the late terms; changes nothing else
#pragma once

#include <concepts>

#include "../math/functions.h"
#include "info.h"

namespace lrnn::LRNN_ISA {

template <class Cell, class V = float>
concept MatrixCell = requires(const V* in, V v, V* out) {
  requires Cell::kTerms >= 1 && Cell::kLate < Cell::kTerms&& Cell::kStates >= 1;
  requires Cell::kGates <= Cell::kSaved;
  { Cell::kInputs + Cell::kParams + Cell::kLate } -> std::convertible_to<int>;
  { Cell::kPullsInputs } -> std::convertible_to<bool>;
  Cell::step(in, in, in, in, out, v, out);
  Cell::pullback(in, in, in, in, v, v, out, out, out, out);
  requires Cell::kLate == 0 || requires {
    Cell::gates(in, in, out);
    { Cell::late(in, in) } -> std::convertible_to<V>;
    Cell::pull_late(in, in, in, in, v, in, out);
  };
};

// Parameters are counted where the shape of the matrices is: see MatrixInfo.
template <template <class> class CellOf>
  requires MatrixCell<CellOf<float>>
constexpr CellInfo matrix_info(const char* name) {
  using Cell = CellOf<float>;
  return {name, Cell::kInputs, 0, false, Saves::nothing, Cell::kStates, 0, true};
}

template <template <class> class CellOf>
constexpr MatrixInfo matrix_shape() {
  using Cell = CellOf<float>;
  return {Cell::kTerms, Cell::kLate, Cell::kParams, Cell::kSaved + Cell::kStates};
}

}  // namespace lrnn::LRNN_ISA
