// The elementwise part of one step of the nBRC: what is left of it once its matrix products are
// taken.
#pragma once

#include "../args.h"

namespace lrnn {

// One batch element at one step. Rows of streams are of the storage type, all others of the carry
// type R.
struct NbrcRow {
  int64_t n;                    // channels
  const void *p_a, *p_c, *p_h;  // the pre-activations, storage type
  const void* recurrent;        // R: W_a h', then W_c h'
  void* h;                      // R: h' in, h out
  void* y;                      // storage type
  void* saved;                  // R: p_a + W_a h', p_c + W_c h', h', for the backward pass; or null
};
struct NbrcBackwardRow {
  int64_t n;
  const void* p_h;      // storage type
  const void* saved;    // R
  const void* dy;       // storage type
  void* adjoint;        // R: of h without dy in, the part of h' that takes no matrix product out
  const void* through;  // R: what comes back through the matrices, to be added to adjoint
  void* dgates;         // R: the gradients of both gates' pre-activations, side by side
  void *dp_a, *dp_c, *dp_h;  // storage type
};
struct NbrcKernels {
  void (*forward)(const NbrcRow&) = nullptr;
  void (*backward)(const NbrcBackwardRow&) = nullptr;
};

// For the instruction set in use; empty if there is none for this storage.
NbrcKernels find_nbrc_kernels(Storage storage);

}  // namespace lrnn
