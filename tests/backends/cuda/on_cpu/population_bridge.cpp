// What the tests call of populations, as tests/systems/neurons/bridge.cpp is of the CPU's kernels.
#include <algorithm>

#include "../../../../csrc/cuda/populations.h"
#include "include/estimates.h"

using namespace lrnn;

namespace {

int64_t multiprocessors = 132, most_steps = int64_t{1} << 62;

}  // namespace

extern "C" {

// The device that is played, and the most steps of a launch.
void lrnn_gpu_configure_populations(int64_t multiprocessors_, int64_t steps) {
  multiprocessors = multiprocessors_;
  most_steps = steps;
}

void lrnn_gpu_population_layout(int64_t B, int is_double, GpuPopulationLayout* layout) {
  *layout = make_gpu_population_layout(B, is_double != 0, Gpu{0, multiprocessors, 0});
}

// What the kernels take for 2^y and 1/x.
void estimate(int64_t count, const float* y, const float* x, const double* z, float* power,
              float* r, double* s) {
  for (int64_t i = 0; i < count; ++i) {
    power[i] = cuda_on_cpu::exp2_estimate(y[i]);
    r[i] = cuda_on_cpu::reciprocal_estimate(x[i]);
    s[i] = cuda_on_cpu::reciprocal_estimate(z[i]);
  }
}

// Whether there is such a kernel, and it has run.
int run(const char* model, int is_double, int written, const PopulationArgs* args) {
  const GpuPopulationKernels kernels =
      find_gpu_population(model, is_double != 0, written ? Scheme::written : Scheme::standard);
  if (!kernels.run) return 0;
  GpuPopulationLayout layout =
      make_gpu_population_layout(args->B, is_double != 0, Gpu{0, multiprocessors, 0});
  layout.steps = std::min(layout.steps, most_steps);
  return kernels.run(*args, layout, nullptr) == 0;
}
}
