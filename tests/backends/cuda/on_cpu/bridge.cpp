// What the tests call through ctypes: the very table and launchers that the package uses, compiled
// for the executor.
#include "../../../../csrc/cuda/kernels.h"

using namespace lrnn;

extern "C" {

// channels per lane, steps and bytes of a tile forward and backward, and the size of ScanArgs;
// false if there is no such kernel.
bool lrnn_gpu_describe(const char* cell, int storage, int64_t* out) {
  const GpuKernels kernels = find_gpu_kernels(cell, static_cast<Storage>(storage));
  const int64_t numbers[] = {
      kernels.channels,       kernels.forward.steps,         kernels.forward.bytes_loaded,
      kernels.backward.steps, kernels.backward.bytes_loaded, int64_t{sizeof(ScanArgs)}};
  for (int i = 0; i < 6; ++i) out[i] = numbers[i];
  return kernels.channels != 0;
}

void lrnn_gpu_plan(const GpuProblem* problem, int64_t bytes_in_flight, int64_t multiprocessors,
                   GpuPlan* plan) {
  *plan = make_gpu_plan(*problem, Gpu{bytes_in_flight, multiprocessors});
}

bool lrnn_gpu_plan_is_valid(const GpuPlan* plan, int64_t T) { return is_valid(*plan, T); }

int64_t lrnn_gpu_workspace(const char* cell, int storage, const ScanArgs* args,
                           const GpuPlan* plan) {
  return find_gpu_kernels(cell, static_cast<Storage>(storage)).workspace_bytes(*args, *plan);
}

int lrnn_gpu_launch(const char* cell, int storage, bool backward, const ScanArgs* args,
                    const GpuPlan* plan, void* workspace) {
  const GpuKernels kernels = find_gpu_kernels(cell, static_cast<Storage>(storage));
  return (backward ? kernels.backward : kernels.forward).launch(*args, *plan, workspace, nullptr);
}

int lrnn_gpu_reduce(const char* cell, int storage, const Sums* sums, void* out) {
  return find_gpu_kernels(cell, static_cast<Storage>(storage)).reduce(*sums, out, nullptr);
}

// Of step cells: channels per wide lane, states, and the size of ScanArgs.
bool lrnn_gpu_step_describe(const char* cell, int storage, int64_t* out) {
  const GpuStepKernels kernels = find_gpu_step_kernels(cell, static_cast<Storage>(storage));
  out[0] = kernels.channels;
  out[1] = kernels.states;
  out[2] = sizeof(ScanArgs);
  return kernels.channels != 0;
}

void lrnn_gpu_step_problem(const char* cell, int storage, bool backward, const ScanArgs* args,
                           GpuStepProblem* problem) {
  *problem = find_gpu_step_kernels(cell, static_cast<Storage>(storage)).problem(*args, backward);
}

void lrnn_gpu_step_plan(const GpuStepProblem* problem, int64_t multiprocessors, int64_t cache_bytes,
                        GpuStepPlan* plan) {
  *plan = make_gpu_step_plan(*problem, Gpu{0, multiprocessors, cache_bytes});
}

bool lrnn_gpu_step_plan_is_valid(const GpuStepPlan* plan, const GpuStepProblem* problem) {
  return is_valid(*plan, *problem);
}

int64_t lrnn_gpu_step_workspace(const char* cell, int storage, const ScanArgs* args,
                                const GpuStepPlan* plan) {
  return find_gpu_step_kernels(cell, static_cast<Storage>(storage)).workspace_bytes(*args, *plan);
}

int lrnn_gpu_step_launch(const char* cell, int storage, bool backward, const ScanArgs* args,
                         const GpuStepPlan* plan, void* workspace) {
  const GpuStepKernels kernels = find_gpu_step_kernels(cell, static_cast<Storage>(storage));
  return backward ? kernels.backward(*args, *plan, workspace, nullptr)
                  : kernels.forward(*args, *plan, nullptr);
}

int lrnn_gpu_step_reduce(const char* cell, int storage, const Sums* sums, void* out) {
  return find_gpu_step_kernels(cell, static_cast<Storage>(storage)).reduce(*sums, out, nullptr);
}

// Of matrix cells: planes of what is saved and of what a backward pass gathers, and the size of
// ScanArgs.
bool lrnn_gpu_matrix_describe(const char* cell, int storage, int64_t* out) {
  const GpuMatrixKernels kernels = find_gpu_matrix_kernels(cell, static_cast<Storage>(storage));
  out[0] = kernels.info.saved;
  out[1] = kernels.gathered();
  out[2] = sizeof(ScanArgs);
  return kernels.forward != nullptr;
}

void lrnn_gpu_matrix_layout(const char* cell, int storage, const ScanArgs* args,
                            int64_t multiprocessors, GpuMatrixLayout* layout) {
  const GpuMatrixKernels kernels = find_gpu_matrix_kernels(cell, static_cast<Storage>(storage));
  *layout = make_gpu_matrix_layout(kernels.problem(*args), Gpu{0, multiprocessors});
}

int64_t lrnn_gpu_matrix_workspace(const char* cell, int storage, const GpuMatrixLayout* layout) {
  return find_gpu_matrix_kernels(cell, static_cast<Storage>(storage)).workspace_bytes(*layout);
}

int lrnn_gpu_matrix_launch(const char* cell, int storage, bool backward, const ScanArgs* args,
                           const GpuMatrices* matrices, const GpuMatrixLayout* layout,
                           void* workspace) {
  const GpuMatrixKernels kernels = find_gpu_matrix_kernels(cell, static_cast<Storage>(storage));
  return (backward ? kernels.backward : kernels.forward)(*args, *matrices, *layout, workspace,
                                                         nullptr);
}

int lrnn_gpu_matrix_reduce(const char* cell, int storage, const Sums* sums, void* out) {
  return find_gpu_matrix_kernels(cell, static_cast<Storage>(storage)).reduce(*sums, out, nullptr);
}
}
