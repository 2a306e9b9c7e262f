// One step of one layer: the leaky current, then the neuron. Equations: args.h names the readable
// form.
//
// Everything fits 16-bit lanes. u goes down to -17256, so 3u would not, but below -2000 the state
// is clipped whatever u is; and (d z) >> 10 is the high half of the product (2 d) (32 z). Sums of
// weights are exact because the number of spikes is limited; where it is too large for 16 bits, 32
// are used.
#pragma once

#include "lanes.h"

namespace lrnn::fixed_point::LRNN_ISA {

inline constexpr int kTile =
    kVectorBytes == 64 ? 4 : 8;  // registers that sums are kept in: 128 neurons, 64 with SSE2

// What a layer remembers, and scratch that its steps share.
struct LayerState {
  const Layer& layer;
  int16_t *I, *h, *h_s;
  int32_t* wide;

  LayerState(const Layer& layer, int16_t* state, int32_t* wide)
      : layer(layer),
        I(state),
        h(state + layer.padded),
        h_s(state + 2 * layer.padded),
        wide(wide) {}
  void clear() { __builtin_memset(I, 0, 3 * sizeof(int16_t) * static_cast<size_t>(layer.padded)); }
};

// A current that does not fit, and whose it is.
struct Overflow {
  int neuron;
  int64_t value;
};

inline int32_t leaked(int32_t current) { return current - ((current >> 4) + (current >> 5)); }

// I of R registers from neuron first on. False, with I untouched, if one of them would overflow.
template <int R>
LRNN_HD bool integrate_tile(LayerState& state, int first, const uint32_t* events, int count) {
  const Layer& layer = state.layer;
  I16 sum[R] = {};
  for (int e = 0; e < count; ++e) {
    const int16_t* row = layer.weights + static_cast<int64_t>(events[e]) * layer.padded + first;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r] = add(sum[r], load_raw<I16>(row + r * kLanes));
  }
  I16 bad = {};
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const I16 current = load_raw<I16>(state.I + first + r * kLanes);
    const I16 rest = current - ((current >> 4) + (current >> 5));
    const I16 next = add(rest, sum[r]);
    const I16 wrapped =
        ((rest ^ next) & (sum[r] ^ next)) >> 15;  // both terms with the other sign than their sum
    const I16 high = next > int16_t{kMostCurrent}, low = next < int16_t{-kMostCurrent};
    bad |= wrapped | high | low;
    sum[r] = next;
  }
  if (bits_of(bad)) return false;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) store_raw(state.I + first + r * kLanes, sum[r]);
  return true;
}

// I of all neurons from 32-bit sums, wide[k] of neuron k.
inline bool integrate_wide(LayerState& state, const int32_t* wide, int neurons,
                           Overflow* overflow) {
  for (int k = 0; k < neurons; ++k) {
    const int64_t next = int64_t{leaked(state.I[k])} + wide[k];
    if (next > kMostCurrent || next < -kMostCurrent) {
      *overflow = {k, next};
      return false;
    }
    state.I[k] = static_cast<int16_t>(next);
  }
  return true;
}

inline void sum_wide(LayerState& state, const uint32_t* events, int count) {
  const int padded = state.layer.padded;
  __builtin_memset(state.wide, 0, sizeof(int32_t) * static_cast<size_t>(padded));
  for (int e = 0; e < count; ++e) {
    const int16_t* row = state.layer.weights + static_cast<int64_t>(events[e]) * padded;
    for (int k = 0; k < padded; ++k) state.wide[k] += row[k];
  }
}

// The leaky current of a layer: I - ((I>>4) + (I>>5)) + the weights of the inputs that spike. On
// overflow nothing is promised of the state.
inline bool integrate(LayerState& state, const uint32_t* events, int count, Overflow* overflow) {
  const Layer& layer = state.layer;
  bool fits = int64_t{count} * layer.largest <= 32767;
  int first = 0;
  if (fits) {
    for (; fits && layer.padded - first >= kTile * kLanes; first += fits ? kTile * kLanes : 0)
      fits = integrate_tile<kTile>(state, first, events, count);
    for (; fits && first < layer.padded; first += fits ? kPad : 0)
      fits = integrate_tile<kPad / kLanes>(state, first, events, count);
    if (fits) return true;
  }
  // More spikes than 16 bits hold, or an overflow to be told exactly; neurons before `first` are
  // done and fit.
  sum_wide(state, events, count);
  LayerState rest = state;
  rest.I += first;
  if (integrate_wide(rest, state.wide + first, layer.padded - first, overflow)) return true;
  overflow->neuron += first;
  return false;
}

// The neurons of a layer, from I, or from X where it is held. Lists those that spike; returns how
// many. kWatched: writes waves.
template <bool kWatched>
inline int fire(LayerState& state, uint32_t* spiking, const Waves* waves, int64_t step,
                const int16_t* held) {
  const int neurons = state.layer.neurons;
  int count = 0;
  for (int first = 0; first < state.layer.padded; first += kLanes) {
    const I16 zero = {};
    const I16 current = load_raw<I16>(state.I + first), h = load_raw<I16>(state.h + first),
              h_s = load_raw<I16>(state.h_s + first);
    I16 X = current > zero ? zero + int16_t{1023} : zero + int16_t{-1024};
    if constexpr (kWatched)
      if (held)
        for (int i = 0; i < kLanes && first + i < neurons; ++i)
          X[i] = held[step * neurons + first + i];
    const I16 z32 = h < int16_t{500} ? zero + int16_t{900 * 32} : zero + int16_t{100 * 32};
    const I16 u = X + 2 * (h - 4 * h_s - int16_t{3000});
    const I16 low = u < int16_t{-2000} ? zero + int16_t{-2000} : u;
    I16 h_next = (3 * low) >> 2;
    h_next = h_next < int16_t{-1024} ? zero + int16_t{-1024} : h_next;
    h_next = h_next > int16_t{1023} ? zero + int16_t{1023} : h_next;
    I16 h_s_next = h + multiply_high(2 * (h_s - h), z32);
    h_s_next = h_s_next < int16_t{-800} ? zero + int16_t{-800} : h_s_next;
    h_s_next = h_s_next > int16_t{1023} ? zero + int16_t{1023} : h_s_next;
    const I16 spikes = h_next >= int16_t{512};
    store_raw(state.h + first, h_next);
    store_raw(state.h_s + first, h_s_next);
    list_bits(
        bits_of(spikes), [&](int bit) { return static_cast<uint32_t>(first + bit); }, spiking,
        count);
    if constexpr (kWatched) {
      for (int i = 0; i < kLanes && first + i < neurons; ++i) {
        const int64_t at = step * neurons + first + i;
        waves->I[at] = current[i];
        waves->X[at] = X[i];
        waves->z[at] = static_cast<int16_t>(z32[i] / 32);
        waves->u[at] = u[i];
        waves->h[at] = h_next[i];
        waves->h_s[at] = h_s_next[i];
        waves->spike[at] = spikes[i] != 0;
      }
    }
  }
  return count;
}

}  // namespace lrnn::fixed_point::LRNN_ISA
