// Launches the kernels of the matrix engine: the host's side of a pass.
#pragma once

#include "launch.cuh"
#include "matrix_passes.cuh"

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

template <template <class> class CellOf, class S, class R>
struct MatrixLauncher {
  using Cell = CellOf<R>;
  static_assert(Cell::kTerms <= kGpuMatrixTerms);
  // Of workspace: two sets of words, for the vectors of the backward pass.
  static constexpr int64_t kElementBytes =
      2 * kGradientVectors<Cell> * kGpuMatrixChannels * kWordsOf<R> * sizeof(uint64_t);

  // The narrowest shape that holds all channels.
  template <int kC, bool kForward>
  static int run(const ScanArgs& args, const GpuMatrices& matrices, const GpuMatrixLayout& layout,
                 void* workspace, void* stream) {
    if constexpr (kC < kGpuMatrixChannels)
      if (args.C > kC) return run<2 * kC, kForward>(args, matrices, layout, workspace, stream);
    if (args.C > kC) return static_cast<int>(cudaErrorInvalidValue);
    if (args.B == 0) return 0;
    using Shape = MatrixShape<Cell, R, kC>;
    const auto kernel =
        kForward ? matrix_forward<CellOf, S, R, kC> : matrix_backward<CellOf, S, R, kC>;
    const dim3 grid(layout.blocks * layout.groups), block(Shape::kThreads);
    if constexpr (!Shape::kShared)
      return launch(kernel, grid, block, stream, args, matrices, layout, workspace);
    // No word has come yet.
    const int64_t bytes = layout.groups * kGpuMatrixElements * kElementBytes;
    if (const int error = cudaMemsetAsync(workspace, 0, bytes, static_cast<cudaStream_t>(stream)))
      return error;
    return launch_together(kernel, grid, block, stream, args, matrices, layout, workspace);
  }
  // Of kC channels and more.
  template <int kC = matrix_width(1)>
  static GpuMatrixKernels kernels() {
    return {matrix_shape<CellOf>(), {0, 0, Cell::kTerms, kGradientVectors<Cell>, sizeof(R)},
            kElementBytes,          run<kC, true>,
            run<kC, false>,         launch_reduce<R>};
  }
};

using gpu_matrix_table = GpuMatrixKernels;

template <template <class> class CellOf>
GpuMatrixKernels gpu_matrix_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return MatrixLauncher<CellOf, float, float>::kernels();
    case Storage::f64:
      return MatrixLauncher<CellOf, double, double>::kernels();
    case Storage::bf16:
      return MatrixLauncher<CellOf, __nv_bfloat16, float>::kernels();
    case Storage::f16:
      return MatrixLauncher<CellOf, __half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
