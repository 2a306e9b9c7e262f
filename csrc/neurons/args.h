// What a kernel of populations is given: plain data, on any device. lrnn_kernels/neurons/engine.py
// says what every number is.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace lrnn {

class Watch;

// Columns of a neuron's state beside those of its model.
inline constexpr int kNoiseSections = 4;
struct ExtraColumns {
  static constexpr int E = 0, above = 1, crossing = 2, sections = 3, filtered = 11, count = 13;
};

struct NoiseArgs {
  const void* sigma;  // one, or one per neuron
  bool per_neuron;
  const int64_t* neurons;
  uint64_t seed;
  int64_t every, warm_up;
  float sections[2][3];  // gain, a1, a2
};

// R is the type that a kernel computes in.
struct PopulationArgs {
  int64_t B, columns;  // neurons, and columns of their states
  const void* g;       // (B, channels) of R
  double* state;       // (B, columns)
  double* times;       // (B, max_spikes)
  int64_t* counts;
  int64_t max_spikes, first_step, steps;
  double dt, discard, up, down;
  const void* current;  // (samples, 1 or B) of R, or null
  int64_t samples, current_columns;
  double current_rate;
  const NoiseArgs* noise;  // or null
  void* record;            // (samples, recorded, B) of R, or null
  int64_t record_every, recorded;
  const int64_t* record_states;  // in the host's memory
  Watch* watch;                  // of a call on the CPU
};

enum class Scheme { standard, written };

}  // namespace lrnn
