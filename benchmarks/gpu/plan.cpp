// The CUDA kernels' own plans, for plan.py through ctypes.
#include "../../csrc/cuda/plan.h"

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
int lrnn_matrix_width(int64_t C) { return lrnn::matrix_width(C); }
int lrnn_matrix_slice(int terms, int width, int number_bytes) {
  return lrnn::matrix_slice(terms, width, number_bytes);
}
void lrnn_matrix_layout(const lrnn::GpuMatrixProblem* problem, const lrnn::Gpu* gpu,
                        lrnn::GpuMatrixLayout* layout) {
  *layout = make_gpu_matrix_layout(*problem, *gpu);
}
}
