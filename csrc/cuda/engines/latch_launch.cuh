// Launches the last-write-wins kernels.
#pragma once

#include "affine_launch.cuh"
#include "latch.cuh"

namespace lrnn::LRNN_ISA {

template <class Io>
int launch_latch_forward(const ScanArgs& args, const GpuPlan& plan, void* workspace, void* stream) {
  // A byte of bits has one owner, so chunks begin at whole bytes.
  if (plan.chunks(args.T) > 1 && plan.chunk % kByteSteps != 0)
    return static_cast<int>(cudaErrorInvalidValue);
  if (args.bits.data && args.B * args.C > 0) {
    const dim3 grid(blocks_of(args.B * args.C, kGpuThreads));
    if (const int error = launch(never_written, grid, dim3(kGpuThreads), stream, args))
      return error;
  }
  return launch_pass<LatchForward, Bmru, Io>(args, plan, workspace, stream);
}

template <class Io>
GpuKernels latch_gpu_kernels_of() {
  GpuKernels kernels = gpu_kernels_of<LatchForward, LatchBackward, Bmru, Io>();
  kernels.forward.launch = launch_latch_forward<Io>;
  return kernels;
}

using gpu_latch_table = GpuKernels;

template <class>
GpuKernels gpu_latch_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return latch_gpu_kernels_of<Real<float, float>>();
    case Storage::f64:
      return latch_gpu_kernels_of<Real<double, double>>();
    case Storage::bf16:
      return latch_gpu_kernels_of<Real<__nv_bfloat16, float>>();
    case Storage::f16:
      return latch_gpu_kernels_of<Real<__half, float>>();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
