// minGRU in linear space: z = sigmoid(k), h[t] = (1-z) h[t-1] + z v; the positive form puts g(v) = v + 1/2 (v >= 0) or sigmoid(v) for v.
#pragma once

#include "cell.h"

namespace lrnn::LRNN_ISA {

template <bool kPositive>
struct MinGru {
  static constexpr int kInputs = 2, kParams = 0;
  static constexpr bool kUsesState = true;

  template <class V>
  LRNN_HD static V candidate(V v) {
    if constexpr (kPositive)
      return v >= V{} ? v + Scalar<V>(0.5) : sigmoid(v);
    else
      return v;
  }
  template <class V>
  LRNN_HD static V candidate_slope(V v) {
    if constexpr (kPositive) {
      const V s = sigmoid(v);
      return v >= V{} ? constant<V>(1) : s * (constant<V>(1) - s);
    } else {
      return constant<V>(1);
    }
  }

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V*, const double*) {
    const V z = sigmoid(x[0]);
    return {constant<V>(1) - z, z * candidate(x[1])};
  }
  template <class V>
  LRNN_HD static void pullback(const V* x, const V*, const double*, V h_prev, V g, V* dx, V*) {
    const V z = sigmoid(x[0]);
    dx[0] = g * (candidate(x[1]) - h_prev) * (z * (constant<V>(1) - z));
    dx[1] = g * z * candidate_slope(x[1]);
  }
};

}  // namespace lrnn::LRNN_ISA
