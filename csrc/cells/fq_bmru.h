// The first-quadrant BMRU, the form of the analog circuit: states {0, alpha}, two positive
// thresholds beta_lo < beta_hi.
//
//   u = ReLU(x),  z_lo = H(beta_lo - u),  z_hi = H(u - beta_hi),  hold = (1-z_lo)(1-z_hi)
//   h[t] = (hold + (1-hold) eps) h[t-1] + (1-hold) z_hi alpha
//
// Input x; parameters beta_lo, beta_hi, alpha; options eps, width.
#pragma once

#include "hysteresis.h"

namespace lrnn::LRNN_ISA {

struct FqBmru {
  static constexpr int kInputs = 1, kParams = 3;
  static constexpr bool kUsesState = true, kForgets = true;

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V* p, const double* options) {
    const V u = relu(x[0]);
    const auto low = u <= p[0], high = u >= p[1];
    return {low | high ? constant<V>(Scalar<V>(options[0])) : constant<V>(1),
            zero_unless(high, p[2])};
  }
  template <class V>
  LRNN_HD static void pullback(const V* x, const V* p, const double* options, V h_prev, V g, V* dx,
                               V* dp) {
    const V u = relu(x[0]);
    const auto low = u <= p[0], high = u >= p[1];
    const V dhold = g * (dropped(h_prev, options[0]) - zero_unless(high, p[2]));
    const V at_low = (high ? V{} : -dhold) * surrogate(p[0] - u, options[1]);
    const V at_high =
        (zero_unless(low | high, g * p[2]) - (low ? V{} : dhold)) * surrogate(u - p[1], options[1]);
    dx[0] = x[0] <= V{} ? V{} : at_high - at_low;  // NaN stays NaN
    dp[0] = at_low;
    dp[1] = -at_high;
    dp[2] = zero_unless(high, g);
  }
};

}  // namespace lrnn::LRNN_ISA
