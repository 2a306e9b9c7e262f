// What happens between and after the kernels of a pass: the maps of chunks become the carries that enter them, and partial sums become
// gradients. No cell is known here.
#pragma once

#include "groups.cuh"
#include "kernels.h"
#include "streams.cuh"

namespace lrnn::LRNN_ISA {

// The carry that enters every chunk, by the same composition as inside a block: a group takes a chunk.
template <class Io>
__global__ void __launch_bounds__(kGpuThreads, 1) compose_chunks(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
                                                                 const __grid_constant__ Input start, int64_t chunks) {
  const Place k(args, share, Io::kChannels);
  Values<Io> carry = load_ends<Io>(start, k);
  for (int64_t begin = 0; begin < chunks; begin += blockDim.y) {
    const int64_t chunk = begin + threadIdx.y;
    const bool works = chunk < chunks && k.count;
    // The last chunk's map is nobody's carry, and was not computed.
    const Map<Io> map =
        works && chunk < chunks - 1 ? static_cast<const Map<Io>*>(share.maps)[chunk * share.lanes + k.lane] : identity<Io>();
    const Values<Io> entering = enter<Io>(map, carry);
    if (works) static_cast<Values<Io>*>(share.carries)[chunk * share.lanes + k.lane] = entering;
  }
}

inline constexpr int kSumWidth = 32, kSumHeight = 8;

// Adds in a fixed order: kSumHeight threads take every so-many-th slot, and the first adds up theirs.
template <class R>
__global__ void __launch_bounds__(kSumWidth* kSumHeight) reduce_slots(const __grid_constant__ Sums sums, R* out) {
  __shared__ double partial[kSumHeight][kSumWidth];
  const int64_t row = sums.planes * sums.C, i = static_cast<int64_t>(blockIdx.x) * kSumWidth + threadIdx.x;
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
