// What the fixed-point kernels are given: plain data, shared by every instruction set and by the
// code around them.
//
// The neuron is the spiking recurrent cell in integers, 1.0 being 1024;
// lrnn_kernels/fixed_point/reference.py is the readable form.
#pragma once

#include <stdint.h>

#include "../watch.h"

namespace lrnn::fixed_point {

inline constexpr int kClasses = 10;  // accumulators of the read-out
inline constexpr int kMostCurrent =
    30000;  // |I| beyond it is an overflow: so much fits 16 bits, with a margin for the designer
inline constexpr int kPad =
    32;  // neurons of a row of weights are a multiple of it: one register of the widest set
inline constexpr int kLargestWeight = 32767;  // of either sign
inline constexpr int kMostInputs = 65535;  // so many of the largest weights add up within 32 bits

// One layer. Weights are transposed and padded with zeros, (inputs, padded): what a spike adds is
// one contiguous row.
struct Layer {
  int inputs, neurons, padded;
  int32_t largest;  // |weight|
  const int16_t* weights;
};

// Where to write what every neuron of a layer did in every step: (steps, neurons) each, null where
// unwanted.
struct Waves {
  int16_t *I, *X, *z, *u, *h, *h_s;
  uint8_t* spike;
};

// What all images of a call share. Either pixels or bits are given.
struct Job {
  const Layer* layers;
  int depth;
  int inputs;
  int64_t frames, silent;   // steps in all, and how many of them come before the first coded one
  uint64_t seed, first;     // of the traces; the index that image 0 of this call has in them
  int64_t lowest, highest;  // what an accumulator of the read-out holds
  const uint8_t* pixels;    // (images, inputs) grey levels
  const uint8_t* bits;      // (images, frames, bytes) traces, pixel j in bit j % 8 of byte j / 8
  int32_t* votes;           // (images, kClasses)
  int64_t* spikes;          // (images, depth) spikes of every layer
  const Waves* waves;       // depth of them, for one image, or null
  int32_t* votes_by_step;   // (frames, kClasses) with waves
  Watch* watch;             // of this call
};

// One layer whose neurons are driven by hand: X or the sum over spiking inputs is given, (steps,
// neurons); the other is null.
struct Drive {
  int neurons;
  int64_t steps;
  const int16_t* X;
  const int32_t* sums;
  Waves waves;
  Watch* watch;
};

// The first thing that went wrong with an image: a current (neuron of a layer) or an accumulator
// (class, of layer -1).
struct Failure {
  int64_t image, step;
  int layer, neuron;
  int64_t value;
};

// Eight groups of eight pixels that are not all black, and what became of them in the step before.
// A slot is a bit of a 64-bit word.
struct Chunk {
  alignas(64) uint16_t threshold[64];  // by slot: a pixel spikes if a 16-bit draw is below it
  uint64_t group[8];                   // pixel / 8
  uint32_t input[64];                  // by slot: pixel
  uint64_t binary, previous;           // by slot: the digit binarized, and the last step's spikes
};

// One thread's working memory; its size does not depend on the number of steps.
struct Scratch {
  int16_t* state;       // I, h, h_s of every layer, 64-byte aligned
  int32_t* wide;        // drive of the widest layer
  uint32_t* events[2];  // which inputs spike, and which neurons; with room for eight more
  Chunk* chunks;
};

struct Kernels {
  // Each stops where the job's watch says so; what it has written is then of no use.
  // Runs one image of a job. False if something overflowed, which failure then tells, or if it was
  // stopped.
  bool (*run)(const Job&, const Scratch&, int64_t image, Failure*);
  // Writes the trace of one image, (frames, bytes), over zeros.
  void (*encode)(const Job&, const Scratch&, int64_t image, uint8_t* bits);
  bool (*drive)(const Drive&, const Scratch&, Failure*);
};

}  // namespace lrnn::fixed_point
