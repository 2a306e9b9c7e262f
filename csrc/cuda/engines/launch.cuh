// What every engine launches with: the host's side of a pass.
#pragma once

#include "../kernels.h"
#include "../lanes/sums.cuh"

namespace lrnn::LRNN_ISA {

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
           const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream);
  return static_cast<int>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

inline unsigned blocks_of(int64_t count, int64_t size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

template <class R>
int launch_reduce(const Sums& sums, void* out, void* stream) {
  const int64_t numbers = sums.groups * sums.planes * sums.C;
  if (numbers == 0) return 0;
  return launch(reduce_slots<R>, dim3(blocks_of(numbers, kSumWidth)), dim3(kSumWidth, kSumHeight),
                stream, sums, static_cast<R*>(out));
}

}  // namespace lrnn::LRNN_ISA
