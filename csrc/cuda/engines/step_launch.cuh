// Launches the kernels of one step cell: the host's side of a pass.
#pragma once

#include "launch.cuh"
#include "step_chunks.cuh"

namespace lrnn::LRNN_ISA {

template <template <class> class CellOf, class S, class R>
struct StepLauncher {
  static constexpr int kWide = kAccessBytes / sizeof(R);
  template <int kChannels>
  using Io = Real<S, R, kChannels>;
  using Cell = CellOf<R>;

  // Options are turned into a cell here, once: kernels find its constants among their arguments.
  template <int kChannels>
  static int forward_of(const ScanArgs& args, const GpuStepPlan& plan, void* stream) {
    return launch(step_forward<CellOf, Io<kChannels>>, dim3(plan.blocks), dim3(plan.threads),
                  stream, args, share<kChannels>(args), Cell(args.options));
  }
  static int forward(const ScanArgs& args, const GpuStepPlan& plan, void* stream) {
    if (args.B == 0) return 0;
    return plan.channels == 1 ? forward_of<1>(args, plan, stream)
                              : forward_of<kWide>(args, plan, stream);
  }

  template <int kChannels>
  static int backward_of(const ScanArgs& args, const GpuStepPlan& plan, void* workspace,
                         void* stream) {
    const dim3 grid(plan.blocks), block(plan.threads);
    const Cell cell(args.options);
    if constexpr (Cell::kSaved > 0)
      if (args.interval > 0)
        return launch(step_backward_again<CellOf, Io<kChannels>>, grid, block, stream, args,
                      share<kChannels>(args), cell, workspace);
    if constexpr (kChannels == 1)
      if (plan.chunks(args.T) > 1) return backward_in_chunks(args, plan, workspace, stream);
    return launch(step_backward<CellOf, Io<kChannels>>, grid, block, stream, args,
                  share<kChannels>(args), cell);
  }
  static int backward_in_chunks(const ScanArgs& args, const GpuStepPlan& plan, void* workspace,
                                void* stream) {
    const unsigned chunks = static_cast<unsigned>(plan.chunks(args.T));
    const Cell cell(args.options);
    Share all = share<1>(args);
    all.chunk = plan.chunk;
    all.maps = workspace;
    if (const int error = launch(step_summarize<CellOf, Io<1>>, dim3(plan.blocks, chunks - 1),
                                 dim3(plan.threads), stream, args, all, cell))
      return error;
    return launch(step_backward_chunks<CellOf, Io<1>>, dim3(plan.blocks, chunks),
                  dim3(plan.threads), stream, args, all, cell);
  }
  static int backward(const ScanArgs& args, const GpuStepPlan& plan, void* workspace,
                      void* stream) {
    if (args.B == 0) return 0;
    return plan.channels == 1 ? backward_of<1>(args, plan, workspace, stream)
                              : backward_of<kWide>(args, plan, workspace, stream);
  }

  template <int kChannels>
  static Share share(const ScanArgs& args) {
    const int64_t row_lanes = (args.C + kChannels - 1) / kChannels;
    return {args.B * row_lanes, row_lanes, args.T, !args.reverse};
  }

  static GpuStepKernels kernels() {
    return {kWide,
            Cell::kStates,
            Cell::kSaved * sizeof(R),
            AdjointMap<R, Cell::kCarried>::kNumbers * sizeof(R),
            forward,
            backward,
            launch_reduce<R>};
  }
};

using gpu_step_table = GpuStepKernels;

template <template <class> class CellOf>
GpuStepKernels gpu_step_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return StepLauncher<CellOf, float, float>::kernels();
    case Storage::f64:
      return StepLauncher<CellOf, double, double>::kernels();
    case Storage::bf16:
      return StepLauncher<CellOf, __nv_bfloat16, float>::kernels();
    case Storage::f16:
      return StepLauncher<CellOf, __half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
