// The table of CUDA kernels and how to launch them: plain C++ that any compiler reads. Errors are
// cudaError_t's numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../args.h"
#include "plan.h"

namespace lrnn {

// One direction of a cell for a storage.
struct GpuPass {
  int64_t steps = 0;         // per thread and tile
  int64_t bytes_loaded = 0;  // per thread and tile
  // workspace holds workspace_bytes(); partial sums in args are zeroed by the caller, slot = (b *
  // chunks + chunk) * groups + group.
  int (*launch)(const ScanArgs& args, const GpuPlan& plan, void* workspace, void* stream) = nullptr;
};

// Partial sums [slot][row], of which every group of slots makes one row of the result; a row holds
// planes * C numbers, and slots lie slot_stride numbers apart. Complex results are interleaved, or
// in two planes as the sums are.
struct Sums {
  const double* sums;
  int64_t slot_stride, groups, slots, C, planes;
  bool interleaved;
};

struct GpuKernels {
  int64_t channels = 0;   // per lane
  int64_t map_bytes = 0;  // of workspace per lane and chunk
  GpuPass forward, backward;
  int (*reduce)(const Sums& sums, void* out,
                void* stream) = nullptr;  // into the real type of the carry

  int64_t row_lanes(int64_t C) const { return (C + channels - 1) / channels; }
  int64_t workspace_bytes(const ScanArgs& args, const GpuPlan& plan) const {
    const int64_t chunks = plan.chunks(args.T);
    return chunks > 1 ? (chunks - 1) * args.B * row_lanes(args.C) * map_bytes : 0;
  }
  GpuProblem problem(const ScanArgs& args, const GpuPass& pass) const {
    return {args.B * row_lanes(args.C), args.T, pass.steps, pass.bytes_loaded};
  }
};

// Both directions of a step cell for a storage. Partial sums in args are zeroed by the caller, slot
// = b * chunks + chunk.
struct GpuStepKernels {
  int64_t channels = 0;     // per wide lane
  int64_t states = 0;       // per channel
  int64_t saved_bytes = 0;  // of workspace per channel and step that is computed again
  int64_t map_bytes = 0;    // of workspace per channel and chunk
  int (*forward)(const ScanArgs& args, const GpuStepPlan& plan, void* stream) = nullptr;
  // workspace holds workspace_bytes(), on a 16-byte boundary.
  int (*backward)(const ScanArgs& args, const GpuStepPlan& plan, void* workspace,
                  void* stream) = nullptr;
  int (*reduce)(const Sums& sums, void* out,
                void* stream) = nullptr;  // into the real type of the carry

  GpuStepProblem problem(const ScanArgs& args, bool backward) const {
    const int64_t again = backward ? (args.interval < args.T ? args.interval : args.T) : 0;
    return {args.B, args.T, args.C, channels, again * saved_bytes, backward && args.interval == 0};
  }
  int64_t workspace_bytes(const ScanArgs& args, const GpuStepPlan& plan) const {
    if (plan.chunks(args.T) > 1) return (plan.chunks(args.T) - 1) * args.B * args.C * map_bytes;
    return plan.blocks * plan.threads * plan.channels * problem(args, true).workspace_bytes;
  }
};

// How a call of the nBRC lies over a device: its blocks are groups * blocks. A group, whose blocks
// share the channels, takes batch elements in turn, some at a time. Where it has several blocks,
// all groups run at a time.
struct GpuNbrcLayout {
  int64_t blocks, groups, elements;
};
// The most elements of a group of several blocks, and the most channels.
inline constexpr int kGpuNbrcElements = 4, kGpuNbrcChannels = 256;

// The nBRC, whose matrices lie in registers. params are its matrices, stride_t numbers from row to
// row; saved and states are (B,T,3C), one plane after another: both gates' whole pre-activations,
// and the state before the step. The backward pass leaves the matrices' gradients to its caller, as
// products of the gates' gradients and those states; where args.saved is given, (B,T,2C) of the
// carry type, it gets the gates' gradients before they are rounded to the storage of dinputs.
// dreset is [b][C].
struct GpuNbrcKernels {
  int64_t block_channels = 0;  // that one block holds whole
  int64_t slice = 0;           // of channels, that each of several blocks holds
  int64_t element_bytes = 0;   // of workspace per group and batch element at a time
  // workspace holds workspace_bytes().
  int (*forward)(const ScanArgs& args, const GpuNbrcLayout& layout, void* workspace,
                 void* stream) = nullptr;
  int (*backward)(const ScanArgs& args, const GpuNbrcLayout& layout, void* workspace,
                  void* stream) = nullptr;

  // No groups: the device has too few multiprocessors, on each of which a block runs. Rather
  // another group than another element.
  GpuNbrcLayout layout(int64_t B, int64_t C, int64_t multiprocessors) const {
    if (C <= block_channels) return {1, B, 1};
    const int64_t blocks = (C + slice - 1) / slice, most = multiprocessors / blocks;
    if (most == 0 || B == 0) return {blocks, 0, 1};
    const int64_t each = (B + most - 1) / most,
                  elements = each < kGpuNbrcElements ? each : kGpuNbrcElements;
    const int64_t groups = (B + elements - 1) / elements;
    return {blocks, groups < most ? groups : most, elements};
  }
  int64_t workspace_bytes(const GpuNbrcLayout& layout) const {
    return layout.blocks > 1 ? layout.groups * kGpuNbrcElements * element_bytes : 0;
  }
};

// By operator name, see cells/list.h; empty if there is no such cell or it has no kernel for this
// storage.
GpuKernels find_gpu_kernels(const char* cell, Storage storage);
GpuStepKernels find_gpu_step_kernels(const char* cell, Storage storage);
GpuNbrcKernels find_gpu_nbrc_kernels(Storage storage);

}  // namespace lrnn
