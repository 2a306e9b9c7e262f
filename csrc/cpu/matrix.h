// The kernels of a matrix cell on the CPU: all of time of some batch elements.
#pragma once

#include "../args.h"
#include "../cells/info.h"
#include "../watch.h"

namespace lrnn {

inline constexpr int kMaxTerms = 4;

// The product that makes the inputs, where the pass takes it too: inputs = x w' + bias, all of them
// side by side. Of the carry type; x and dx are streams of the storage type, which must be the
// carry type.
struct Driven {
  int64_t channels = 0;  // of x; 0: the inputs are given
  Input x;
  Output dx;
  const void* w = nullptr;     // (inputs C, channels), contiguous
  const void* bias = nullptr;  // (inputs C,)
};

// What a pass has besides its ScanArgs, of which saved and states are (B,T,n,C): the values of a
// step side by side. All is of the carry type.
struct MatrixArgs {
  const void* blocks[kMaxTerms] = {};  // (C,C), contiguous
  const void* packed = nullptr;        // the same, as the pass wants them
  Driven driven;
};

// Batch elements [b0, b1), of one thread.
struct MatrixTask {
  int64_t b0 = 0, b1 = 0;
  void* memory = nullptr;  // that the pass walks, from the start of a cache line
  // The backward pass adds to these: the gradients of the matrices, (terms C, C), and of the
  // parameters, (params, C), rows of MatrixKernels::row numbers; of h_reset, (B, states C).
  void* dmatrices = nullptr;
  double* dparams = nullptr;
  void* dw = nullptr;       // of a driven pass, (inputs C, channels), rows of row(channels) numbers
  double* dbias = nullptr;  // (inputs C,)
  void* dreset = nullptr;
};

struct MatrixKernels {
  MatrixInfo info{};
  bool drivable = false;  // its backward pass does not read the inputs: it may take their product
  int64_t (*row)(int64_t C) = nullptr;
  // Of the matrices and, in a driven pass of so many channels, of the inputs' weight.
  int64_t (*packed_bytes)(int64_t C, int64_t channels, bool backward) = nullptr;
  // One block into its places of packed; the one after the last is the inputs' weight.
  void (*pack)(const MatrixArgs&, int64_t C, bool backward, int block, void* packed) = nullptr;
  int64_t (*memory_bytes)(int64_t batch, int64_t C, int64_t channels, bool backward) = nullptr;
  // Left early where the watch says so.
  void (*forward)(const ScanArgs&, const MatrixArgs&, const MatrixTask&, Watch&) = nullptr;
  void (*backward)(const ScanArgs&, const MatrixArgs&, const MatrixTask&, Watch&) = nullptr;
};

// For the instruction set in use; empty if there is none for this storage.
MatrixKernels find_matrix_kernels(size_t cell, Storage storage);

}  // namespace lrnn
