// What the binding hands to a kernel: plain data, no torch. All strides are in elements of the
// tensor's storage scalar.
#pragma once

#include <stdint.h>

namespace lrnn {

// How a stream lies in memory. Complex values are interleaved (torch's complex dtypes) or split (a
// row of C real parts, then C imaginary parts), so that a real GEMM can produce and consume them.
enum class Storage { f32, f64, bf16, f16, c64, c128, f32_split, f64_split, bf16_split, f16_split };

// Of streams, parameters and options that a cell has at most; a matrix cell may have one stream
// more.
inline constexpr int kMaxStreams = 3, kMaxInputs = 4, kMaxOptions = 12;

// A (B,T,C) tensor, or a (B,C) one with stride_t unused, or absent (data null).
template <class Void>
struct Stream {
  Void* data = nullptr;
  int64_t stride_b = 0, stride_t = 0;
  int64_t plane = 0;  // split complex: distance from a real part to its imaginary part
};
using Input = Stream<const void>;
using Output = Stream<void>;

// Parameters, h0, h_reset, h_last and their gradients hold the carry type: float for every 16- and
// 32-bit storage.
struct ScanArgs {
  int64_t B = 0, T = 0, C = 0;
  bool reverse = false;      // the recurrence runs from t = T-1 down to 0
  bool nontemporal = false;  // outputs bypass the caches
  double options[kMaxOptions] = {};
  Input inputs[kMaxInputs];
  Input params[kMaxStreams];  // stride_b is 0 for (C,)
  Input h0, h_reset;
  Stream<const uint8_t> reset;

  // forward
  Output y, h_last;
  Stream<int32_t> bits;             // last-write-wins engine, see latch.h: [B, ceil(T/32) + 1, C]
  int32_t* first_writes = nullptr;  // its first writes by piece: [slot][C], T to begin with

  Output saved;  // step engine: what its backward pass reads of the states, see engines/step.h
  int64_t interval = 0;  // steps between saved states; 0: values of every step

  // backward
  Input states;  // y of the forward pass, or what the step engine saved, where the cell needs it
  Stream<const int32_t> saved_bits;
  Input dy, dh_last;
  Output dinputs[kMaxInputs];
  Output dh0, dh_reset;
  double* dparams = nullptr;  // partial sums [slot][param][plane][C], slot = b * chunks + chunk
  double* dreset = nullptr;   // partial sums [slot][plane][C]
};

// A piece of the work: channels [c0, c1) of batch element b over scan steps [s0, s1). Step s is
// time s, or T-1-s in reverse. carry_in and carry_out are [plane][c1-c0] rows of the carry type;
// null means h0 and h_last (backward: dh_last and dh0).
struct Task {
  int64_t b = 0, c0 = 0, c1 = 0, s0 = 0, s1 = 0;
  const void* carry_in = nullptr;
  void* carry_out = nullptr;
  int64_t slot = 0;
};

// The entry points of one cell for one storage. summarize computes the affine map of a piece, carry
// -> scale * carry + offset, as two rows [scale | offset] in carry_out; combine applies such a map.
struct Kernels {
  void (*forward)(const ScanArgs&, const Task&) = nullptr;
  void (*summarize_forward)(const ScanArgs&, const Task&) = nullptr;
  void (*backward)(const ScanArgs&, const Task&) = nullptr;
  void (*summarize_backward)(const ScanArgs&, const Task&) = nullptr;
  void (*combine_forward)(const void* map, const void* in, void* out, int64_t channels) = nullptr;
  void (*combine_backward)(const void* map, const void* in, void* out, int64_t channels) = nullptr;
};

}  // namespace lrnn
