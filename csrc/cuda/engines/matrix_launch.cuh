// Launches the nBRC's kernels: the host's side of a pass.
#pragma once

#include "launch.cuh"
#include "matrix.cuh"

namespace lrnn::LRNN_ISA {

// All blocks at a time, or an error.
template <class... Parameters, class... Arguments>
int launch_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
                    const Arguments&... arguments) {
  cudaLaunchAttribute together{};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &together;
  config.numAttrs = 1;
  return static_cast<int>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

template <class S, class R>
struct NbrcLauncher {
  static constexpr int kBlock = sizeof(R) == 4 ? 128 : 64, kMax = kGpuNbrcChannels;
  // Of workspace: two sets of words, for the two vectors of the backward pass.
  static constexpr int64_t kElementBytes = 2 * 2 * kMax * kWordsOf<R> * sizeof(uint64_t);

  // The narrowest shape that holds all channels.
  template <int kC, bool kForward>
  static int run(const ScanArgs& args, const GpuNbrcLayout& layout, void* workspace, void* stream) {
    if constexpr (kC < kMax)
      if (args.C > kC)
        return run<(kC < kBlock ? 2 * kC : kMax), kForward>(args, layout, workspace, stream);
    if (args.C > kC) return static_cast<int>(cudaErrorInvalidValue);
    if (args.B == 0) return 0;
    using Shape = NbrcShape<R, kC>;
    const auto kernel = kForward ? nbrc_forward<S, R, kC> : nbrc_backward<S, R, kC>;
    const dim3 grid(layout.blocks * layout.groups), block(Shape::kThreads);
    const Brc<R> cell(nullptr);
    if constexpr (!Shape::kShared)
      return launch(kernel, grid, block, stream, args, cell, layout, workspace);
    // No word has come yet.
    const int64_t bytes = layout.groups * kGpuNbrcElements * kElementBytes;
    if (const int error = cudaMemsetAsync(workspace, 0, bytes, static_cast<cudaStream_t>(stream)))
      return error;
    return launch_together(kernel, grid, block, stream, args, cell, layout, workspace);
  }
  // Of kC channels and more.
  template <int kC = 32>
  static GpuNbrcKernels kernels() {
    return {kC > kBlock ? 0 : kBlock, NbrcShape<R, kMax>::kSlice, kElementBytes, run<kC, true>,
            run<kC, false>};
  }
};

using gpu_matrix_table = GpuNbrcKernels;

template <template <class> class>
GpuNbrcKernels gpu_matrix_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return NbrcLauncher<float, float>::kernels();
    case Storage::f64:
      return NbrcLauncher<double, double>::kernels();
    case Storage::bf16:
      return NbrcLauncher<__nv_bfloat16, float>::kernels();
    case Storage::f16:
      return NbrcLauncher<__half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
