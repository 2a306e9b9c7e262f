// Runs a scan's tasks over threads, and a split sequence's pieces in order of their carries.
#pragma once

#include "../watch.h"
#include "kernels.h"
#include "plan.h"

namespace lrnn {

// Calls work(context, i) for every i in [0, count), possibly at once; the binding passes torch's
// thread pool.
using ParallelFor = void (*)(int64_t count, void (*work)(void* context, int64_t i), void* context);

// Bytes of a carry row, per channel.
struct CarryType {
  int64_t bytes_per_channel;
};

// False if the watch has stopped it, somewhere.
bool run_forward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
                 ParallelFor parallel, Watch& watch);
bool run_backward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
                  ParallelFor parallel, Watch& watch);

enum class Direction { forward, backward };

// The affine map of each lane (batch element, block of channels) over all of the time, from the
// state before it to the state after it; backward, of adjoints. maps gets [lane] rows of
// map_bytes(), scale and offset as a kernel stores them. Pieces of time are reduced at once, and
// their maps composed in order.
bool run_map(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
             Direction direction, ParallelFor parallel, Watch& watch, char* maps);
inline int64_t map_bytes(const Plan& plan, CarryType carry) {
  return 2 * plan.block * carry.bytes_per_channel;
}

}  // namespace lrnn
