// Populations of neurons on a GPU: the table of kernels, how a call is laid over a device, and how
// it is launched. Plain C++ that any compiler reads; errors are cudaError_t's numbers.
#pragma once

#include "../neurons/args.h"
#include "plan.h"

namespace lrnn {

// A neuron is a thread. All threads of a launch take at most so many steps.
struct GpuPopulationLayout {
  int64_t threads, blocks, steps;
};

// Of the threads that a multiprocessor runs at a time: what the kernels' registers allow.
constexpr int64_t population_threads(bool is_double) { return is_double ? 512 : 1024; }

GpuPopulationLayout make_gpu_population_layout(int64_t B, bool is_double, const Gpu& gpu);

// The most states that a call records.
inline constexpr int kGpuRecorded = 64;

// The kernels of one model in one type, of one scheme.
struct GpuPopulationKernels {
  int channels = 0, states = 0;
  // Launches all steps, one launch after the other. args points to the device's memory, but for
  // noise and record_states.
  int (*run)(const PopulationArgs& args, const GpuPopulationLayout& layout, void* stream) = nullptr;
};

// Empty where there is no such model, or no kernels of it for this type and scheme.
GpuPopulationKernels find_gpu_population(const char* model, bool is_double, Scheme scheme);

}  // namespace lrnn
