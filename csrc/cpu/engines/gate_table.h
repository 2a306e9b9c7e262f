// A neuron's functions of its voltage as polynomials on 32 intervals, looked up in registers: a
// permutation of two AVX-512 registers finds the coefficients of 16 lanes in a cycle, where a
// gather takes 28. What is looked up of a gate is x_inf and 1 - exp(-dt/tau): of slow gates,
// exp(-dt/tau) would have lost all digits.
#pragma once

#include "../../neurons/scheme.h"
#include "../lanes/pack.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kIntervals = 32;

template <class Model>
inline constexpr int kFunctions = 2 * Model::kGates + Model::kRates;

// The row of the highest coefficient of function f; those of lower degree follow.
template <class Model>
constexpr int first_row(int f) {
  int row = 0;
  for (int i = 0; i < f; ++i) row += Model::degree(i) ? Model::degree(i) + 1 : 0;
  return row;
}

// All functions of a model at one voltage, by the equations.
template <class Model>
void tabled_functions(double v, double dt, double* f) {
  const auto of_gate = [&]<int i>(auto& self, Indices<i>) {
    if constexpr (i < Model::kGates) {
      const Gate<double> gate = Model::template gate<i>(v);
      f[2 * i] = gate.p / gate.q;
      f[2 * i + 1] = -__builtin_expm1(-dt * gate.d / gate.n);
      self(self, Indices<i + 1>{});
    }
  };
  of_gate(of_gate, Indices<0>{});
  if constexpr (Model::kRates > 0) Model::rates(v, f + 2 * Model::kGates);
}

template <class Model>
struct GateTable {
  alignas(64) float rows[first_row<Model>(kFunctions<Model>)][kIntervals];

  // By interpolation at Chebyshev's nodes of every interval, in a coordinate from -1/2 to 1/2.
  void build(double dt) {
    constexpr int kMost = 4;  // nodes
    constexpr double kPi = 3.14159265358979323846;
    const double width = (Model::kHigh - Model::kLow) / kIntervals;
    for (int f = 0; f < kFunctions<Model>; ++f) {
      if (Model::degree(f) == 0) continue;
      const int nodes = Model::degree(f) + 1;
      double at[kMost];
      for (int i = 0; i < nodes; ++i) at[i] = 0.5 * __builtin_cos(kPi * (i + 0.5) / nodes);
      for (int k = 0; k < kIntervals; ++k) {
        double c[kMost], all[kFunctions<Model>];
        for (int i = 0; i < nodes; ++i) {
          tabled_functions<Model>(Model::kLow + (k + 0.5 + at[i]) * width, dt, all);
          c[i] = all[f];
        }
        // Newton's divided differences, then the powers.
        for (int j = 1; j < nodes; ++j)
          for (int i = nodes - 1; i >= j; --i) c[i] = (c[i] - c[i - 1]) / (at[i] - at[i - j]);
        for (int j = nodes - 2; j >= 0; --j)
          for (int i = j; i < nodes - 1; ++i) c[i] -= at[j] * c[i + 1];
        for (int i = 0; i < nodes; ++i)
          rows[first_row<Model>(f) + nodes - 1 - i][k] = static_cast<float>(c[i]);
      }
    }
  }
};

#if defined(__AVX512F__)

// The standard scheme with the functions from a table; of lanes whose voltage it does not hold, by
// the equations.
template <class P>
struct Tabled : Standard<P> {
  const float (*rows)[kIntervals];

  // Where voltages lie in the table.
  struct Place {
    __m512i interval[P::kRegisters];
    P within;  // from -1/2 to 1/2
  };

  template <int kDegree>
  LRNN_HD P at(int row, const Place& place) const {
    P y;
#pragma GCC unroll 4
    for (int j = 0; j <= kDegree; ++j) {
      __m512 low = _mm512_load_ps(rows[row + j]), high = _mm512_load_ps(rows[row + j] + 16);
      // Both halves stay in registers for all of the pack: GCC would load them again.
      if (P::kRegisters > 1) asm("" : "+v"(low), "+v"(high));
#pragma GCC unroll 4
      for (int i = 0; i < P::kRegisters; ++i) {
        const auto c =
            bit_cast<typename P::Register>(_mm512_permutex2var_ps(low, place.interval[i], high));
        y.r[i] = j == 0 ? c : y.r[i] * place.within.r[i] + c;
      }
    }
    return y;
  }

  template <class Model, int f>
  LRNN_HD P function(const Place& place) const {
    return at<Model::degree(f)>(first_row<Model>(f), place);
  }

  template <class Model, int i = 0>
  LRNN_HD void look_up_gates(const P& v, const Place& place, const P* own, P* x) const {
    if constexpr (i < Model::kGates) {
      P x_inf;
      if constexpr (Model::degree(2 * i) == 0) {
        const Gate<P> gate = Model::template gate<i>(v);
        x_inf = gate.p * reciprocal(gate.q);
      } else {
        x_inf = function<Model, 2 * i>(place);
      }
      const P share = function<Model, 2 * i + 1>(place);
      if constexpr (i == Model::kScaled) {
        const Quotient<P> scale = Model::scale(own);
        x_inf = x_inf * (scale.over * reciprocal(scale.under));
      }
      x[i] = x[i] + share * (x_inf - x[i]);
      look_up_gates<Model, i + 1>(v, place, own, x);
    }
  }
  template <class Model, int i = 0>
  LRNN_HD void look_up_rates(const Place& place, P* rates) const {
    if constexpr (i < Model::kRates) {
      rates[i] = function<Model, 2 * Model::kGates + i>(place);
      look_up_rates<Model, i + 1>(place, rates);
    }
  }

  // Lanes outside the table are few, and steps with one are fewer: gates and rates by the
  // equations.
  template <class Model>
  [[gnu::noinline, gnu::cold]] void relax_outside(const P& v, const P* own, const P* x,
                                                  P* by_equation) const {
    for (int i = 0; i < Model::kGates; ++i) by_equation[i] = x[i];
    relax_all<Model>(static_cast<const Standard<P>&>(*this), v, own, by_equation,
                     by_equation + Model::kGates);
  }
  template <class Model>
  [[gnu::noinline, gnu::cold]] void take_outside(const __mmask16* inside, const P* by_equation,
                                                 P* x, P* rates) const {
    for (int i = 0; i < Model::kGates + Model::kRates; ++i) {
      P& to = i < Model::kGates ? x[i] : rates[i - Model::kGates];
      for (int j = 0; j < P::kRegisters; ++j)
        to.r[j] = bit_cast<typename P::Register>(_mm512_mask_mov_ps(
            bit_cast<__m512>(by_equation[i].r[j]), inside[j], bit_cast<__m512>(to.r[j])));
    }
  }

  template <class Model>
  LRNN_HD void relax(const P& v, const P* own, P* x, P* rates) const {
    constexpr double kWidth = (Model::kHigh - Model::kLow) / kIntervals;
    constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it rounds, to the lowest bits
    const __m512i round = _mm512_castps_si512(_mm512_set1_ps(kRound));
    Place place;
    __mmask16 inside[P::kRegisters];
    __mmask16 every = 0xffff;
#pragma GCC unroll 4
    for (int i = 0; i < P::kRegisters; ++i) {
      const auto u = v.r[i] * float(1 / kWidth) + float(-Model::kLow / kWidth - 0.5);
      const auto shifted = u + kRound;
      place.interval[i] = bit_cast<__m512i>(shifted);
      place.within.r[i] = u - (shifted - kRound);
      inside[i] = _mm512_cmplt_epu32_mask(_mm512_sub_epi32(place.interval[i], round),
                                          _mm512_set1_epi32(kIntervals));
      every = static_cast<__mmask16>(every & inside[i]);
    }
    P by_equation[Model::kGates + Model::kRates];
    if (every != 0xffff) [[unlikely]]
      relax_outside<Model>(v, own, x, by_equation);
    look_up_gates<Model>(v, place, own, x);
    look_up_rates<Model>(place, rates);
    if (every != 0xffff) [[unlikely]]
      take_outside<Model>(inside, by_equation, x, rates);
  }
};

#endif

}  // namespace lrnn::LRNN_ISA
