// The CUDA kernels' own plans, for plan.py through ctypes.
#include "../../csrc/cuda/kernels.h"

extern "C" {
int lrnn_affine_tile(int accesses, int numbers) { return lrnn::affine_tile(accesses, numbers); }
int lrnn_step_tile(int accesses, int channels, int carry_bytes) {
  return lrnn::step_tile(accesses, channels, carry_bytes);
}
void lrnn_plan(const lrnn::GpuProblem* problem, const lrnn::Gpu* gpu, lrnn::GpuPlan* plan) {
  *plan = make_gpu_plan(*problem, *gpu);
}
void lrnn_step_plan(const lrnn::GpuStepProblem* problem, const lrnn::Gpu* gpu,
                    lrnn::GpuStepPlan* plan) {
  *plan = make_gpu_step_plan(*problem, *gpu);
}
// Of kernels that hold so many channels in one block, or a slice in each of several.
void lrnn_nbrc_layout(int64_t block_channels, int64_t slice, int64_t B, int64_t C,
                      const lrnn::Gpu* gpu, lrnn::GpuNbrcLayout* layout) {
  *layout = lrnn::GpuNbrcKernels{block_channels, slice}.layout(B, C, gpu->multiprocessors);
}
}
