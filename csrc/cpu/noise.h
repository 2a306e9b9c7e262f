// Filtered Gaussian noise of groups of lanes: the numbers are those of neurons/noise.h.
#pragma once

#include "populations.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kNoiseLanes = 32;  // the most lanes of a group

// The noise of a group of lanes, each of which is a neuron.
struct NoiseLanes {
  alignas(64) float s1[kNoiseSections][kNoiseLanes], s2[kNoiseSections][kNoiseLanes];
  alignas(64) float now[kNoiseLanes], next[kNoiseLanes];     // two filtered samples around a step
  alignas(64) float white[4][kNoiseLanes];                   // of a block of Philox
  int64_t block = -1;                                        // which one
  alignas(64) uint32_t low[kNoiseLanes], high[kNoiseLanes];  // halves of the neurons' numbers
};

// The noise in the middle of steps [first, first + count): rows of lanes.
void fill_noise(const NoiseArgs& args, NoiseLanes& lanes, int64_t first, int64_t count,
                float (*rows)[kNoiseLanes]);

}  // namespace lrnn::LRNN_ISA
