// Populations of neurons that differ in their conductances: the table of kernels.
#pragma once

#include "../neurons/args.h"
#include "../watch.h"

namespace lrnn {

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

// Null where there is no such model, or no kernels for this processor or of this scheme.
const PopulationKernels* find_population(const char* model, bool is_double, Scheme scheme);

}  // namespace lrnn
