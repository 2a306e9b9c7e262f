// minGRU in linear space: z = sigmoid(k), h[t] = (1-z) h[t-1] + z v; the positive form puts g(v) =
// v + 1/2 (v >= 0) or sigmoid(v) for v.
#pragma once

#include "affine_cell.h"

namespace lrnn::LRNN_ISA {

template <bool kPositive>
struct MinGru {
  static constexpr int kInputs = 2, kParams = 0;
  static constexpr bool kUsesState = true;

  // What is written for v, and its slope. The sigmoid is computed for every v, so that scalar code
  // selects and does not branch.
  template <class V>
  LRNN_HD static V candidate(V v, V& slope) {
    slope = constant<V>(1);
    if constexpr (!kPositive) return v;
    const V s = sigmoid(v);
    slope = v >= V{} ? slope : s * (slope - s);
    return v >= V{} ? v + Scalar<V>(0.5) : s;
  }

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V*, const double*) {
    V slope;
    const V z = sigmoid(x[0]);
    return {constant<V>(1) - z, z * candidate(x[1], slope)};
  }
  template <class V>
  LRNN_HD static void pullback(const V* x, const V*, const double*, V h_prev, V g, V* dx, V*) {
    V slope;
    const V z = sigmoid(x[0]), v = candidate(x[1], slope);
    dx[0] = g * (v - h_prev) * (z * (constant<V>(1) - z));
    dx[1] = g * z * slope;
  }
};

}  // namespace lrnn::LRNN_ISA
