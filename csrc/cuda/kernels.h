// The table of CUDA kernels and how to launch them: plain C++ that any compiler reads. Errors are
// cudaError_t's numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../args.h"
#include "../cells/info.h"
#include "plan.h"

namespace lrnn {

// One direction of a cell for a storage.
struct GpuPass {
  int64_t steps = 0;         // per thread and tile
  int64_t bytes_loaded = 0;  // per thread and tile
  // workspace holds workspace_bytes(); partial sums in args are zeroed by the caller, slot = (b *
  // chunks + chunk) * groups + group.
  int (*launch)(const ScanArgs& args, const GpuPlan& plan, void* workspace, void* stream) = nullptr;
  // Of the affine engine: writes the affine map of each lane over all of the time, from the state
  // before it to the state after it (backward: of adjoints), as (B,C) states are stored. workspace
  // holds map_workspace().
  int (*map)(const ScanArgs& args, const GpuPlan& plan, void* workspace, Output scale,
             Output offset, void* stream) = nullptr;
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
  int64_t map_workspace(const ScanArgs& args, const GpuPlan& plan) const {
    return plan.chunks(args.T) * args.B * row_lanes(args.C) * map_bytes;
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

// The blocks of a matrix cell's matrices, (C,C), contiguous, of the carry type.
struct GpuMatrices {
  const void* blocks[kGpuMatrixTerms] = {};
};

// Both directions of a matrix cell for a storage; its matrices lie in registers. saved and states
// are (B,T,nC), n planes of C side by side, see cells/matrix_cell.h. The backward pass leaves the
// matrices' gradients to its caller, as products over all steps: where args.saved is given, of the
// carry type and (B,T,gathered C), it gets the gradients of the terms before they are rounded to
// the storage of dinputs and, of a cell with late terms, what these multiplied. It writes every row
// of partial sums of parameters in args, slot = b, and adds to those of h_reset, [b][states C],
// which are zeroed by the caller.
struct GpuMatrixKernels {
  MatrixInfo info{};
  GpuMatrixProblem shape{};   // of no call: B and C are 0
  int64_t element_bytes = 0;  // of workspace per group and batch element at a time
  // workspace holds workspace_bytes().
  int (*forward)(const ScanArgs& args, const GpuMatrices& matrices, const GpuMatrixLayout& layout,
                 void* workspace, void* stream) = nullptr;
  int (*backward)(const ScanArgs& args, const GpuMatrices& matrices, const GpuMatrixLayout& layout,
                  void* workspace, void* stream) = nullptr;
  int (*reduce)(const Sums& sums, void* out,
                void* stream) = nullptr;  // into the real type of the carry

  int64_t gathered() const { return info.terms + (info.late > 0 ? 1 : 0); }
  GpuMatrixProblem problem(const ScanArgs& args) const {
    GpuMatrixProblem of_call = shape;
    of_call.B = args.B;
    of_call.C = args.C;
    return of_call;
  }
  int64_t workspace_bytes(const GpuMatrixLayout& layout) const {
    return layout.blocks > 1 ? layout.groups * kGpuMatrixElements * element_bytes : 0;
  }
};

// By operator name, see cells/list.h; empty if there is no such cell or it has no kernel for this
// storage.
GpuKernels find_gpu_kernels(const char* cell, Storage storage);
GpuStepKernels find_gpu_step_kernels(const char* cell, Storage storage);
GpuMatrixKernels find_gpu_matrix_kernels(const char* cell, Storage storage);

}  // namespace lrnn
