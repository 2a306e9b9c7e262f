// The matrix engine: the elementwise part of one step of a step cell whose recurrent terms come
// from matrix products (the nBRC).
#pragma once

#include "../../cells/step_cell.h"
#include "../lanes/rows.h"
#include "../nbrc.h"

namespace lrnn::LRNN_ISA {

template <template <class> class CellOf, class S, class R>
struct Matrix {
  template <int N>
  using V = Vec<R, N>;

  using Cell = CellOf<R>;

  // With the recurrent terms in the gates' inputs, the cell is one without recurrent weights of its
  // own.
  static void forward(const NbrcRow& row) {
    const Cell cell(nullptr);
    const auto *p_a = static_cast<const S*>(row.p_a), *p_c = static_cast<const S*>(row.p_c),
               *p_h = static_cast<const S*>(row.p_h);
    const auto* recurrent = static_cast<const R*>(row.recurrent);
    R *const h = static_cast<R*>(row.h), *const saved = static_cast<R*>(row.saved);
    S* const y = static_cast<S*>(row.y);
    const int64_t n = row.n;
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      const V<N> x[3] = {load<V<N>>(p_a + c) + load_raw<V<N>>(recurrent + c),
                         load<V<N>>(p_c + c) + load_raw<V<N>>(recurrent + n + c),
                         load<V<N>>(p_h + c)};
      const V<N> none[2] = {}, before = load_raw<V<N>>(h + c);
      V<N> after, out, *const nothing = nullptr;
      cell.step(x, none, &before, &after, out, nothing, nothing);
      store_raw(h + c, after);
      store(y + c, out);
      if (saved) {
        store_raw(saved + c, x[0]);
        store_raw(saved + n + c, x[1]);
        store_raw(saved + 2 * n + c, before);
      }
    });
  }

  static void backward(const NbrcBackwardRow& row) {
    const Cell cell(nullptr);
    const auto *p_h = static_cast<const S*>(row.p_h), *dy = static_cast<const S*>(row.dy);
    const auto* saved = static_cast<const R*>(row.saved);
    const auto* through = static_cast<const R*>(row.through);
    R *const adjoint = static_cast<R*>(row.adjoint), *const dgates = static_cast<R*>(row.dgates);
    S *const dp_a = static_cast<S*>(row.dp_a), *const dp_c = static_cast<S*>(row.dp_c),
             *const dp_h = static_cast<S*>(row.dp_h);
    const int64_t n = row.n;
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      const V<N> x[3] = {load_raw<V<N>>(saved + c), load_raw<V<N>>(saved + n + c),
                         load<V<N>>(p_h + c)};
      const V<N> none[2] = {}, h = load_raw<V<N>>(saved + 2 * n + c);
      V<N> d = load_raw<V<N>>(adjoint + c) + load_raw<V<N>>(through + c), dx[3],
           unused[2], *const nothing = nullptr;
      cell.pullback(x, none, &h, &h, nothing, load<V<N>>(dy + c), &d, dx, unused);
      store_raw(adjoint + c, d);
      store_raw(dgates + c, dx[0]);
      store_raw(dgates + n + c, dx[1]);
      store(dp_a + c, dx[0]);
      store(dp_c + c, dx[1]);
      store(dp_h + c, dx[2]);
    });
  }

  static NbrcKernels kernels() { return {forward, backward}; }
};

using matrix_table = NbrcKernels;

template <template <class> class CellOf>
NbrcKernels matrix_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Matrix<CellOf, float, float>::kernels();
    case Storage::f64:
      return Matrix<CellOf, double, double>::kernels();
    case Storage::bf16:
      return Matrix<CellOf, BFloat16, float>::kernels();
    case Storage::f16:
      return Matrix<CellOf, Half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
