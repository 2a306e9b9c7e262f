// Launches the affine kernels of one cell: the host's side of a pass.
#pragma once

#include <algorithm>

#include "affine.cuh"
#include "launch.cuh"

namespace lrnn::LRNN_ISA {

template <template <class, class> class Pass, class Cell, class Io>
int launch_pass(const ScanArgs& args, const GpuPlan& plan, void* workspace, void* stream) {
  constexpr bool kForward = Pass<Cell, Io>::kForward;
  const int64_t row_lanes = (args.C + Io::kChannels - 1) / Io::kChannels,
                lanes = args.B * row_lanes, chunks = plan.chunks(args.T);
  if (lanes == 0) return 0;
  Share share{lanes, row_lanes, plan.chunk, kForward != args.reverse};
  const dim3 block(plan.lanes, plan.groups);
  if (chunks > 1) {
    share.maps = workspace;
    const dim3 grid(blocks_of(lanes, plan.lanes), chunks - 1);
    if (const int error = launch(summarize<Pass, Cell, Io>, grid, block, stream, args, share))
      return error;
  }
  return launch(affine<Pass, Cell, Io>, dim3(blocks_of(lanes, plan.lanes), chunks), block, stream,
                args, share);
}

template <template <class, class> class Pass, class Cell, class Io>
int launch_map(const ScanArgs& args, const GpuPlan& plan, void* workspace, Output scale,
               Output offset, void* stream) {
  const int64_t row_lanes = (args.C + Io::kChannels - 1) / Io::kChannels,
                lanes = args.B * row_lanes, chunks = plan.chunks(args.T);
  if (lanes == 0) return 0;
  const Share share{lanes, row_lanes, plan.chunk, Pass<Cell, Io>::kForward != args.reverse,
                    workspace};
  // A warp holds all lanes of a block that summarizes: total_map composes what it has of them.
  const int64_t width = std::min(plan.lanes, kGpuWarp);
  const dim3 grid(blocks_of(lanes, width), chunks), block(width, plan.groups);
  if (const int error = launch(summarize<Pass, Cell, Io>, grid, block, stream, args, share))
    return error;
  return launch(write_maps<Io>, dim3(blocks_of(lanes, kGpuPlainThreads)), dim3(kGpuPlainThreads),
                stream, args, share, chunks, scale, offset);
}

template <template <class, class> class Pass, class Cell, class Io>
constexpr GpuPass gpu_pass() {
  using P = Pass<Cell, Io>;
  return {P::kSteps, P::kSteps * P::kAccesses * kAccessBytes, launch_pass<Pass, Cell, Io>};
}

template <template <class, class> class ForwardPass, template <class, class> class BackwardPass,
          class Cell, class Io>
GpuKernels gpu_kernels_of() {
  return {Io::kChannels, sizeof(Map<Io>), gpu_pass<ForwardPass, Cell, Io>(),
          gpu_pass<BackwardPass, Cell, Io>(), launch_reduce<typename Io::R>};
}
template <class Cell, class Io>
GpuKernels gpu_kernels_of() {
  GpuKernels kernels = gpu_kernels_of<Forward, Backward, Cell, Io>();
  kernels.forward.map = launch_map<Forward, Cell, Io>;
  kernels.backward.map = launch_map<Backward, Cell, Io>;
  return kernels;
}

using gpu_affine_table = GpuKernels;

template <AffineCell Cell>
GpuKernels gpu_affine_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return gpu_kernels_of<Cell, Real<float, float>>();
    case Storage::f64:
      return gpu_kernels_of<Cell, Real<double, double>>();
    case Storage::bf16:
      return gpu_kernels_of<Cell, Real<__nv_bfloat16, float>>();
    case Storage::f16:
      return gpu_kernels_of<Cell, Real<__half, float>>();
    default:
      break;
  }
  if constexpr (kNumbers<Cell> != Numbers::real) {
    if (storage == Storage::c64) return gpu_kernels_of<Cell, ComplexValues<float, float, false>>();
    if (storage == Storage::c128)
      return gpu_kernels_of<Cell, ComplexValues<double, double, false>>();
  }
  if constexpr (kNumbers<Cell> == Numbers::split) {
    switch (storage) {
      case Storage::f32_split:
        return gpu_kernels_of<Cell, ComplexValues<float, float, true>>();
      case Storage::f64_split:
        return gpu_kernels_of<Cell, ComplexValues<double, double, true>>();
      case Storage::bf16_split:
        return gpu_kernels_of<Cell, ComplexValues<__nv_bfloat16, float, true>>();
      case Storage::f16_split:
        return gpu_kernels_of<Cell, ComplexValues<__half, float, true>>();
      default:
        break;
    }
  }
  return {};
}

}  // namespace lrnn::LRNN_ISA
