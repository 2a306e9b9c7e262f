// How a scan is laid over a GPU: a pure function of its shape, its bytes in flight and the device.
//
// Affine cells. A thread carries the channels of one 16-byte access, a lane, over a few steps at a
// time. Where lanes are many, a thread walks all of the time. Where they are fewer, the threads of
// a block share a tile of time, group by group, so that enough loads are in flight; where that is
// still too little, time is cut into chunks, whose affine maps are computed first and composed.
//
// Step cells. A thread walks all of the time of a lane, whose width is the choice: one channel, or
// those of a 16-byte access of the carry. A backward pass that has the values of every step may be
// cut in time, as an affine cell's.
//
// Matrix cells. A block walks all of the time of a batch element, where it holds all the matrices;
// wider ones are held by the blocks of a group, a slice of the channels each, which take some
// elements at a time.
#pragma once

#include <stdint.h>

namespace lrnn {

// Threads in a block. 256 of them may have 255 registers each, and the kernels tell the compiler so
// (launch bounds of one block per multiprocessor): left to itself it spills to fit two. Blocks that
// share nothing are smaller, so that they end more evenly.
inline constexpr int64_t kGpuThreads = 256, kGpuPlainThreads = 128, kGpuWarp = 32;

// Positions per tile of an affine cell: as many as make about ten accesses in flight per thread, a
// power of two; half of it where a lane is more than eight numbers, whose states and maps need the
// registers. A tile must fit into them twice.
constexpr int affine_tile(int accesses, int numbers) {
  const int steps = accesses > 5 ? 1 : accesses > 2 ? 2 : accesses > 1 ? 4 : 8;
  return numbers > 8 && steps > 1 ? steps / 2 : steps;
}

// Whether a step cell's lanes are for speed: one channel of float. In double they would take all
// registers.
constexpr bool is_lean(int channels, int carry_bytes) { return channels == 1 && carry_bytes == 4; }

// Steps per tile of a step cell, which must fit into the registers twice, beside the states and
// adjoints of all channels.
constexpr int step_tile(int accesses, int channels, int carry_bytes) {
  const int at_once = is_lean(channels, carry_bytes) ? 40 : channels == 1 ? 16 : 8;
  int steps = 1;
  while (2 * steps * accesses <= at_once && steps < 8) steps *= 2;
  return steps;
}

struct Gpu {
  int64_t bytes_in_flight;  // that hide the latency of its memory: bandwidth times latency, with a
                            // margin
  int64_t multiprocessors;
  int64_t cache_bytes;  // its L2 cache, read for step cells only
};

struct GpuProblem {
  int64_t lanes, T;
  int64_t steps;         // per thread and tile
  int64_t bytes_loaded;  // per thread and tile
};

struct GpuPlan {
  int64_t lanes;  // per block
  int64_t
      groups;  // of threads, which share the steps of a tile; lanes * groups threads make a block
  int64_t chunk;  // steps per chunk; T unless time is cut
  int64_t chunks(int64_t T) const { return T > chunk ? (T + chunk - 1) / chunk : 1; }
};

GpuPlan make_gpu_plan(const GpuProblem& problem, const Gpu& gpu);

// Whether the kernels can run a plan. make_gpu_plan makes no other.
bool is_valid(const GpuPlan& plan, int64_t T);

struct GpuStepProblem {
  int64_t B, T, C;
  int64_t channels;         // of a wide lane
  int64_t workspace_bytes;  // per channel, if the backward pass computes states again; else 0
  bool may_cut;             // whether it is a backward pass that may be cut in time
};

struct GpuStepPlan {
  int64_t channels;  // per lane: 1 or the problem's
  int64_t threads;   // per block, a lane each
  int64_t blocks;    // per chunk; fewer than the lanes need where a workspace is wanted: they take
                     // several lanes in turn
  int64_t chunk;     // steps per chunk; T unless time is cut
  int64_t chunks(int64_t T) const { return T > chunk ? (T + chunk - 1) / chunk : 1; }
};

GpuStepPlan make_gpu_step_plan(const GpuStepProblem& problem, const Gpu& gpu);

bool is_valid(const GpuStepPlan& plan, const GpuStepProblem& problem);

// The most channels of a matrix cell, and the most blocks of (C,C) of its matrices; the most batch
// elements that a group of several blocks takes at a time.
inline constexpr int kGpuMatrixChannels = 256, kGpuMatrixTerms = 4, kGpuMatrixElements = 4;

// Channels that kernels for C of them have room for: a power of two.
constexpr int matrix_width(int64_t C) {
  int width = 32;
  while (width < C && width < kGpuMatrixChannels) width *= 2;
  return width;
}

// Of so many, those that a block holds, a power of two: as much of the matrices as 128 KiB of
// registers take. Where that is not all of them, rows are long, and 256 threads of double or 512 of
// float share the slice.
constexpr int matrix_slice(int terms, int width, int number_bytes) {
  int slice = width;
  while (terms * slice * width * number_bytes > 128 << 10) slice /= 2;
  const int most = 256 / number_bytes;
  return slice < width && slice > most ? most : slice;
}

// Batch elements that a group of several blocks takes at a time, whose vectors go round together:
// 48 KiB of shared memory hold two rounds of them.
constexpr int matrix_elements(int vectors, int number_bytes) {
  int elements = kGpuMatrixElements;
  while (2 * elements * vectors * kGpuMatrixChannels * number_bytes > 48 << 10) elements /= 2;
  return elements;
}

struct GpuMatrixProblem {
  int64_t B, C;
  int64_t terms;         // blocks of (C,C) of the matrices
  int64_t vectors;       // that go round at a time, at most
  int64_t number_bytes;  // of the carry
};

// A call's blocks are groups * blocks. A group, whose blocks share the channels, takes batch
// elements in turn, some at a time. Where it has several blocks, all groups run at a time; no
// groups: the device has too few multiprocessors, on each of which a block runs.
struct GpuMatrixLayout {
  int64_t blocks, groups, elements;
};

GpuMatrixLayout make_gpu_matrix_layout(const GpuMatrixProblem& problem, const Gpu& gpu);

}  // namespace lrnn
