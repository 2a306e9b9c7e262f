// SRC, the spiking recurrent cell: bistable dynamics that fire, built from a GRU's operations.
//
//   i[t]   = leak i[t-1] + u[t]                                    the leaky synaptic current
//   x[t]   = rho tanh(i[t] / rho)
//   z_s[t] = z_hyp + (z_dep - z_hyp) sigmoid(slope (h[t-1] - midpoint))
//   h[t]   = z h[t-1] + (1-z) tanh(x[t] + r h[t-1] + r_s h_s[t-1] + bias)
//   h_s[t] = z_s[t] h_s[t-1] + (1-z_s[t]) h[t-1]
//   y[t]   = ReLU(h[t]), or the spike 1 if h[t] > threshold else 0
//
// Input u; parameter bias; states i, h, h_s. Two gradients: full, ordinary back-propagation through
// all three states; detached, the training rule of the SRC's paper: h[t-1] and h_s[t-1] are
// constants and ReLU's derivative is 1 everywhere, so time gradient flows through i alone.
#pragma once

#include "step_cell.h"

namespace lrnn::LRNN_ISA {

enum class Gradient { kFull, kDetached };
enum class Out { kRelu, kSpikes };

// What stands for the derivative of a spike. Each has peak w and area 1.
enum class SpikeSurrogate { kAtan, kFastSigmoid, kSigmoid, kTriangle };

template <class V, class R>
LRNN_HD V spike_slope(V u, SpikeSurrogate kind, R w) {
  const V one = constant<V>(1), v = abs(u) * w;
  switch (kind) {
    case SpikeSurrogate::kFastSigmoid: {  // w / (1 + 2 w |u|)^2
      const V d = one + v * R(2);
      return constant<V>(w) / (d * d);
    }
    case SpikeSurrogate::kSigmoid: {  // 4 w s (1-s), s = sigmoid(4 w u)
      const V s = sigmoid(v * R(4));
      return s * (one - s) * (R(4) * w);
    }
    case SpikeSurrogate::kTriangle:  // w max(0, 1 - w |u|)
      return relu(one - v) * w;
    default: {  // w / (1 + (pi w u)^2)
      const V d = v * R(3.14159265358979323846);
      return constant<V>(w) / (d * d + R(1));
    }
  }
}

template <class R, Gradient kGradient, Out kOut>
struct Src {
  static constexpr int kInputs = 1, kParams = 1, kStates = 3;
  static constexpr int kSaved = kGradient == Gradient::kFull ? 3 : 2;  // x, h, and h_s
  static constexpr int kGates =
      kGradient == Gradient::kFull ? 1 : 0;  // sigmoid(slope (h - midpoint))
  static constexpr bool kPullsInputs = false;
  static constexpr int kCarried = kGradient == Gradient::kFull ? 3 : 1;
  static constexpr double kLog2E = 1.44269504088896340736;
  static constexpr int kCurrent = 0, kH = 1, kSlow = 2;

  R leak, rho, inverse_rho, r, r_s, z, rest, inverse_rest, z_hyp, z_span, slope, scale, shift,
      threshold, width;
  SpikeSurrogate surrogate;

  explicit Src(const double* o)
      : leak(R(o[0])),
        rho(R(o[1])),
        inverse_rho(R(1 / o[1])),
        r(R(o[2])),
        r_s(R(o[3])),
        z(R(o[4])),
        rest(R(1 - o[4])),  // z itself may round to 1
        inverse_rest(R(1 / (1 - o[4]))),
        z_hyp(R(o[5])),
        z_span(R(o[6] - o[5])),
        slope(R(o[7])),
        scale(R(-o[7] * kLog2E)),
        shift(R(o[7] * o[8] * kLog2E)),
        threshold(R(o[9])),
        width(R(o[10])),
        surrogate(static_cast<SpikeSurrogate>(static_cast<int>(o[11]))) {}

  template <class V>
  LRNN_HD V gate(V h) const {  // sigmoid(slope (h - midpoint))
    return constant<V>(1) / (exp2(h * scale + shift) + R(1));
  }

  template <class V>
  LRNN_HD void step(const V* x, const V* p, const V* before, V* after, V& y, V* saved, V* g) const {
    const V i = before[kCurrent] * leak + x[0], h = before[kH], h_s = before[kSlow];
    const V sigma = gate(h), z_s = sigma * z_span + z_hyp, current = tanh(i * inverse_rho);
    const V driven = tanh(current * rho + (h * r + (h_s * r_s + p[0])));
    after[kCurrent] = i;
    after[kH] = z == R(0) ? driven : driven + (h - driven) * z;
    after[kSlow] = z_s * h_s + (constant<V>(1) - z_s) * h;
    if constexpr (kOut == Out::kRelu)
      y = relu(after[kH]);
    else
      y = zero_unless(after[kH] > constant<V>(threshold), constant<V>(1));
    saved[0] = current;
    saved[1] = after[kH];
    if constexpr (kSaved > 2) saved[2] = after[kSlow];
    if constexpr (kGates > 0) g[0] = sigma;
  }

  template <class V>
  LRNN_HD void save(const V* state, V* saved) const {
    saved[0] = tanh(state[kCurrent] * inverse_rho);
    saved[1] = state[kH];
    if constexpr (kSaved > 2) saved[2] = state[kSlow];
  }

  template <class V>
  LRNN_HD void gates(const V* before, V* g) const {
    g[0] = gate(before[kH]);
  }

  template <class V>
  LRNN_HD void pullback(const V*, const V*, const V* before, const V* after, const V* g, V dy,
                        V* adjoint, V* dx, V* dp) const {
    const V one = constant<V>(1), h = before[1], h_after = after[1];
    if constexpr (kOut == Out::kSpikes)
      dy = dy * spike_slope(h_after - threshold, surrogate, width);
    else if constexpr (kGradient == Gradient::kFull)
      dy = zero_unless(h_after > V{}, dy);
    const V dh = adjoint[kH] + dy;
    // A tanh, had back from what it was mixed into: rounding may take it beyond 1, where 1 - tanh^2
    // would change its sign.
    const V driven = z == R(0) ? h_after : clamp((h_after - h * z) * inverse_rest, R(-1), R(1));
    const V dpre = dh * rest * (one - driven * driven);
    const V di = adjoint[kCurrent] + dpre * (one - after[0] * after[0]);
    dx[0] = di;
    dp[0] = dpre;
    if constexpr (kGradient == Gradient::kFull) {
      const V h_s = before[2], sigma = g[0], z_s = sigma * z_span + z_hyp, dh_s = adjoint[kSlow];
      const V through_gate = dh_s * (h_s - h) * (sigma * (one - sigma)) * (z_span * slope);
      adjoint[kH] = dh * z + dpre * r + dh_s * (one - z_s) + through_gate;
      adjoint[kSlow] = dh_s * z_s + dpre * r_s;
    } else {
      adjoint[kH] = adjoint[kSlow] = V{};
    }
    adjoint[kCurrent] = di * leak;
  }
};

template <class R>
using SrcFull = Src<R, Gradient::kFull, Out::kRelu>;
template <class R>
using SrcDetached = Src<R, Gradient::kDetached, Out::kRelu>;
template <class R>
using SrcSpikes = Src<R, Gradient::kFull, Out::kSpikes>;
template <class R>
using SrcSpikesDetached = Src<R, Gradient::kDetached, Out::kSpikes>;

}  // namespace lrnn::LRNN_ISA
