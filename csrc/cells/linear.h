// The linear recurrence h[t] = a h[t-1] + b[t], real or complex; a per step, or one value per
// channel (the LRU's lambda).
#pragma once

#include "affine_cell.h"

namespace lrnn::LRNN_ISA {

struct Linear {
  static constexpr int kInputs = 2, kParams = 0, kReads = 1;
  static constexpr Numbers kNumbers = Numbers::complex;
  static constexpr bool kUsesState = true;

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V*, const double*) {
    return {x[0], x[1]};
  }
  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const double*, V h_prev, V g, V* dx, V*) {
    dx[0] = conj(h_prev) * g;
    dx[1] = g;
  }
};

struct LinearPerChannel {
  static constexpr int kInputs = 1, kParams = 1, kReads = 0;
  static constexpr Numbers kNumbers = Numbers::split;
  static constexpr bool kUsesState = true;

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V* p, const double*) {
    return {p[0], x[0]};
  }
  template <class V>
  LRNN_HD static void pullback(const V*, const V*, const double*, V h_prev, V g, V* dx, V* dp) {
    dx[0] = g;
    dp[0] = conj(h_prev) * g;
  }
};

}  // namespace lrnn::LRNN_ISA
