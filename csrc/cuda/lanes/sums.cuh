// What happens after the kernels of a pass: partial sums become gradients. No cell is known here.
#pragma once

#include <cuda_runtime.h>

#include "../../math/functions.h"
#include "../kernels.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kSumWidth = 32, kSumHeight = 8;

// Adds in a fixed order: kSumHeight threads take every so-many-th slot, and the first adds up
// theirs.
template <class R>
__global__ void __launch_bounds__(kSumWidth* kSumHeight)
    reduce_slots(const __grid_constant__ Sums sums, R* out) {
  __shared__ double partial[kSumHeight][kSumWidth];
  const int64_t row = sums.planes * sums.C,
                i = static_cast<int64_t>(blockIdx.x) * kSumWidth + threadIdx.x;
  const int64_t group = i / row, element = i % row;
  double sum = 0;
  if (group < sums.groups)
    for (int64_t slot = threadIdx.y; slot < sums.slots; slot += kSumHeight)
      sum += sums.sums[(group * sums.slots + slot) * sums.slot_stride + element];
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || group >= sums.groups) return;
  double total = 0;
  for (int y = 0; y < kSumHeight; ++y) total += partial[y][threadIdx.x];
  const int64_t plane = element / sums.C, c = element % sums.C;
  out[group * row + (sums.interleaved ? c * sums.planes + plane : element)] = static_cast<R>(total);
}

}  // namespace lrnn::LRNN_ISA
