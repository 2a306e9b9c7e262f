// Populations of neurons that differ in their conductances: what a kernel is given, and the table
// of kernels. lrnn_kernels/neurons/engine.py says what every number is.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../watch.h"

namespace lrnn {

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
  const int64_t* record_states;
  Watch* watch;
};

// The kernels of one model in one type, of one instruction set.
struct PopulationKernels {
  int lanes;  // neurons that are worked on as one
  int channels, states;
  // What all neurons of a call share; made anew for another dt.
  size_t shared_bytes;  // aligned to 64
  void (*share)(double dt, void* shared);
  // Runs neurons [first, first + count), at most kGroups times lanes of them.
  void (*run)(const PopulationArgs& args, const void* shared, int64_t first, int64_t count);
};

inline constexpr int kGroups = 2;  // of lanes, which a kernel takes in turn: one computes where the
                                   // other waits for its own results

enum class Scheme { standard, written };

// Null where there is no such model, or no kernels for this processor or of this scheme.
const PopulationKernels* find_population(const char* model, bool is_double, Scheme scheme);

}  // namespace lrnn
