// The quantized-hysteresis memory units with a signed candidate: BMRU (eps = 0), CMRU (eps = 1),
// and the anneal between them.
//
//   z = H(|c| - |beta|),  h[t] = (1-z) h[t-1] + z (alpha S(c) + eps h[t-1]),  with H(0) = 1 and
//   S(0) = +1.
//
// Gradients pass the steps H and S through the surrogate kappa(u) = w / (1 + (pi w u)^2): dH/du =
// kappa, dS/du = 2 kappa. Inputs c, beta (and alpha where it changes with time: the alpha-CMRU);
// options eps, width.
#pragma once

#include "affine_cell.h"

namespace lrnn::LRNN_ISA {

// scale * kappa(u).
template <class V>
LRNN_HD V surrogate(V u, double width, double scale = 1) {
  using S = Scalar<V>;
  const V v = u * S(3.14159265358979323846 * width);
  return constant<V>(S(scale * width)) / (v * v + S(1));
}

// x times what an update drops of the old state, 1 - eps: where that is nothing, the state counts
// for nothing, infinite or not.
template <class V>
LRNN_HD V dropped(V x, double eps) {
  const V share = constant<V>(Scalar<V>(1 - eps));
  return share == V{} ? V{} : x * share;
}

// alpha S(c): the value that an update writes. Adding 0 makes a 0 of either sign a positive one; c
// is a number wherever the cell updates.
template <class V>
LRNN_HD V written(V c, V alpha) {
  return flip_sign(alpha, c + Scalar<V>(0));
}

// The gradients of one step that all variants share. g is the adjoint of h[t]; dz_signed is that of
// the gate, times S(c):
//   dz S(c) = g (alpha - (1-eps) S(c) h[t-1]),  dc = dz S(c) kappa + ...,  dbeta = -dz S(c) kappa
//   S(c) sign(beta),
// so that signs meet only where they do not cancel. Surrogates' terms are 0 where c or beta is 0,
// as sign is, whatever dz is.
template <class V>
LRNN_HD void hysteresis_pullback(V c, V beta, V alpha, double width, V g, V dz_signed, V& dc,
                                 V& dbeta, V& dalpha) {
  const auto update = abs(c) >= abs(beta);
  const V minus_kappa = surrogate(abs(c) - abs(beta), width, -1);
  const V through_sign = zero_unless(update, g * alpha * surrogate(c, width, 2));
  dc = c == V{} ? through_sign : through_sign - dz_signed * minus_kappa;
  dbeta = flip_sign(written(c, beta == V{} ? V{} : dz_signed * minus_kappa), beta);
  dalpha = zero_unless(update, written(c, g));
}

enum class Alpha { kPerChannel, kPerStep };

template <Alpha kAlpha>
struct HysteresisInputs {
  static constexpr int kInputs = kAlpha == Alpha::kPerStep ? 3 : 2;
  static constexpr int kParams = kAlpha == Alpha::kPerStep ? 0 : 1;

  template <class V>
  LRNN_HD static V alpha(const V* x, const V* p) {
    if constexpr (kAlpha == Alpha::kPerStep)
      return x[2];
    else
      return p[0];
  }
  template <class V>
  LRNN_HD static V& dalpha(V* dx, V* dp) {
    if constexpr (kAlpha == Alpha::kPerStep)
      return dx[2];
    else
      return dp[0];
  }
};

// Any eps.
template <Alpha kAlpha>
struct Hysteresis : HysteresisInputs<kAlpha> {
  using In = HysteresisInputs<kAlpha>;
  static constexpr bool kUsesState = true, kForgets = true;

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V* p, const double* options) {
    const auto update = abs(x[0]) >= abs(x[1]);
    const V eps = constant<V>(Scalar<V>(options[0]));
    return {update ? eps : constant<V>(1), zero_unless(update, written(x[0], In::alpha(x, p)))};
  }
  template <class V>
  LRNN_HD static void pullback(const V* x, const V* p, const double* options, V h_prev, V g, V* dx,
                               V* dp) {
    const V alpha = In::alpha(x, p);
    const V dz_signed = g * (alpha - dropped(written(x[0], h_prev), options[0]));
    hysteresis_pullback(x[0], x[1], alpha, options[1], g, dz_signed, dx[0], dx[1],
                        In::dalpha(dx, dp));
  }
};

// eps = 0, alpha per channel and no resets, which has an engine of its own: last write wins.
using Bmru = Hysteresis<Alpha::kPerChannel>;

template <AffineCell Cell>
constexpr CellInfo latch_info(const char* name) {
  return {name, Cell::kInputs, Cell::kParams, false, Saves::bits, 1, 0, false};
}

// eps = 1: the state drops out of the gradient, so nothing but the inputs is saved.
template <Alpha kAlpha>
struct Cmru : HysteresisInputs<kAlpha> {
  using In = HysteresisInputs<kAlpha>;
  static constexpr bool kUsesState = false;

  template <class V>
  LRNN_HD static Gate<V> gate(const V* x, const V* p, const double*) {
    const auto update = abs(x[0]) >= abs(x[1]);
    return {constant<V>(1), zero_unless(update, written(x[0], In::alpha(x, p)))};
  }
  template <class V>
  LRNN_HD static void pullback(const V* x, const V* p, const double* options, V, V g, V* dx,
                               V* dp) {
    const V alpha = In::alpha(x, p);
    hysteresis_pullback(x[0], x[1], alpha, options[1], g, g * alpha, dx[0], dx[1],
                        In::dalpha(dx, dp));
  }
};

}  // namespace lrnn::LRNN_ISA
