// The CUDA kernels' own plans, for gpu_model.py through ctypes.
#include "../csrc/cuda/plan.h"

extern "C" {
void lrnn_plan(const lrnn::GpuProblem* problem, const lrnn::Gpu* gpu, lrnn::GpuPlan* plan) { *plan = make_gpu_plan(*problem, *gpu); }
void lrnn_step_plan(const lrnn::GpuStepProblem* problem, const lrnn::Gpu* gpu, lrnn::GpuStepPlan* plan) {
  *plan = make_gpu_step_plan(*problem, *gpu);
}
}
