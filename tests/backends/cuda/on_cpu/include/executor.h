// What a kernel needs of the executor that runs it on the CPU. The headers beside this one give it
// CUDA's names.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace cuda_on_cpu {

inline constexpr unsigned kWarp = 32;
// Of the device that is played; the blocks of a launch that asks for all of its blocks at a time
// are as many at most.
inline constexpr unsigned kMultiprocessors = 132;

// Where the running thread is.
const dim3& thread_index();
const dim3& block_index();
const dim3& block_size();
const dim3& grid_size();
unsigned lane();

// Waits for all threads of the block that have not returned; tells whether vote held in any of
// them.
bool block_barrier(bool vote);
// Waits for the lanes of the warp that mask names.
void warp_barrier(unsigned mask);
// A value that the lanes of a warp show one another, between two warp barriers.
void show(uint64_t value);
uint64_t seen(unsigned lane);
// Lets other threads and blocks run: what a thread that waits for another one must call.
void rest();

// Runs body once per thread of the grid; together: all blocks at a time. False if it got stuck, see
// message().
bool launch(dim3 grid, dim3 block, bool together, void (*body)(void*), void* context);

}  // namespace cuda_on_cpu

extern "C" {
// resident: how many blocks run at a time, each on a processor thread of its own, where not all do.
// seed: 0 runs the threads of a block in order, anything else in an order drawn anew whenever all
// of them have come to a barrier, a warp operation or a rest.
void cuda_on_cpu_configure(unsigned resident, unsigned seed);
// Why the last launch failed; empty if it did not.
const char* cuda_on_cpu_message();
}
