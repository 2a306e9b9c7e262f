// Small kernels, right and wrong, that show what the executor finds.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <new>

namespace {

constexpr int kThreads = 96;

// out[block] = the sum of the block's part of x, by a tree in shared memory.
template <bool kBarrier>
__global__ void block_sum(const int* x, int n, int* out) {
  __shared__ int part[128];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  part[threadIdx.x] = i < n ? x[i] : 0;
  if (threadIdx.x + blockDim.x < 128u) part[threadIdx.x + blockDim.x] = 0;
  for (unsigned half = 64; half > 0; half /= 2) {
    if (kBarrier) __syncthreads();
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

// Every block adds its number to those of the blocks before it, which it waits for.
template <bool kRelease>
__global__ void running_sum(int* value, int* ready) {
  if (threadIdx.x != 0) return;
  const int block = blockIdx.x;
  if (block > 0)
    while (__nv_atomic_load_n(&ready[block - 1], __NV_ATOMIC_ACQUIRE, __NV_THREAD_SCOPE_DEVICE) ==
           0)
      __nanosleep(20);
  value[block] = block + (block > 0 ? value[block - 1] : 0);
  if (kRelease)
    __nv_atomic_store_n(&ready[block], 1, __NV_ATOMIC_RELEASE, __NV_THREAD_SCOPE_DEVICE);
  else
    __nv_atomic_store_n(&ready[block], 1, __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE);
}

// All blocks wait for all: possible only if all of them run at a time.
__global__ void meet(int* arrived) {
  if (threadIdx.x != 0) return;
  atomicAdd(arrived, 1);
  while (__nv_atomic_load_n(arrived, __NV_ATOMIC_ACQUIRE, __NV_THREAD_SCOPE_DEVICE) <
         static_cast<int>(gridDim.x))
    __nanosleep(20);
}

// Half a warp waits for the other half, which is at another barrier.
__global__ void part_ways() {
  if (threadIdx.x % 32 < 16)
    __syncthreads();
  else
    __shfl_sync(0xffffffffu, 1, 0);
}

// Threads write between two barriers, of the block or of warps: each to a place of its own, or all
// to one.
__global__ void write_between(bool own, bool of_warps, int* out) {
  for (int round = 0; round < 3; ++round) {
    if (of_warps)
      __syncwarp();
    else
      __syncthreads();
    if (round == 1) out[own ? threadIdx.x : 0] = 1;
  }
}

__global__ void warp_operations(int* out) {
  const int lane = threadIdx.x % 32;
  int* const mine = out + 8 * threadIdx.x;
  mine[0] = __shfl_up_sync(0xffffffffu, lane, 3);
  mine[1] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
  mine[2] = __shfl_xor_sync(0xffffffffu, lane, 5);
  mine[3] = __shfl_sync(0xffffffffu, lane, 7);
  mine[4] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 3 == 0));
  mine[5] = __any_sync(0xffffffffu, lane == 9) + 2 * __all_sync(0xffffffffu, lane >= 0);
  mine[6] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, lane, 1)
                      : __shfl_up_sync(0xffff0000u, lane, 1);  // halves that go their own ways
  mine[7] = __syncthreads_or(threadIdx.x == 70);
}

// Writes one element past the end if asked to.
__global__ void fill(int* x, int n, bool beyond) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n + beyond) x[i] = i;
}

__global__ void round_trip(const float* x, float* bf16, float* half, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  bf16[i] = __bfloat162float(__float2bfloat16_rn(x[i]));
  half[i] = __half2float(__float2half_rn(x[i]));
}

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), int blocks, int threads, Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace

extern "C" {
int sample_block_sum(bool barrier, const int* x, int n, int* out) {
  return launch(barrier ? block_sum<true> : block_sum<false>, (n + kThreads - 1) / kThreads,
                kThreads, x, n, out);
}
int sample_running_sum(bool release, int blocks, int* value, int* ready) {
  return launch(release ? running_sum<true> : running_sum<false>, blocks, 32, value, ready);
}
int sample_meet(int blocks, int* arrived) { return launch(meet, blocks, 32, arrived); }
int sample_part_ways() { return launch(part_ways, 1, 64); }
int sample_warp_operations(int* out) { return launch(warp_operations, 1, kThreads, out); }
int sample_write_between(bool own, bool of_warps, int* out) {
  return launch(write_between, 1, kThreads, own, of_warps, out);
}
int sample_fill(int* x, int n, bool beyond) {
  return launch(fill, n / kThreads + 1, kThreads, x, n, beyond);
}
int sample_round_trip(const float* x, float* bf16, float* half, int n) {
  return launch(round_trip, (n + kThreads - 1) / kThreads, kThreads, x, bf16, half, n);
}
}
