#include "populations.h"

#include <string.h>

#include <algorithm>

#include "../neurons/list.h"

namespace lrnn {

#define LRNN_DECLARE(name, Model) \
  GpuPopulationKernels name##_gpu_population(bool is_double, Scheme scheme);
LRNN_NEURONS(LRNN_DECLARE)
#undef LRNN_DECLARE

GpuPopulationKernels find_gpu_population(const char* model, bool is_double, Scheme scheme) {
#define LRNN_FIND(name, Model) \
  if (strcmp(model, #name) == 0) return name##_gpu_population(is_double, scheme);
  LRNN_NEURONS(LRNN_FIND)
#undef LRNN_FIND
  return {};
}

// Blocks are of one warp where there are fewer neurons than the device runs at a time, so that all
// multiprocessors have some; else of several, of which more threads fit where blocks are counted.
// A launch takes less than a fifth of a second on any device: so a stretch of steps is as long as
// that takes a slow one, of which a multiprocessor needs 4 us for a step of all neurons that it
// runs at a time in float, 200 us in double, which some have little for.
GpuPopulationLayout make_gpu_population_layout(int64_t B, bool is_double, const Gpu& gpu) {
  constexpr int64_t kLaunch = 200'000'000, kLeast = 64, kMany = 128;  // ns, steps, threads
  const int64_t at_a_time =
      std::max<int64_t>(gpu.multiprocessors, 1) * population_threads(is_double);
  const int64_t threads = B < at_a_time ? kGpuWarp : kMany;
  const int64_t waves = std::max<int64_t>((B + at_a_time - 1) / at_a_time, 1);
  const int64_t step = waves * (is_double ? 200'000 : 4'000);
  return {threads, (B + threads - 1) / threads, std::max(kLaunch / step, kLeast)};
}

}  // namespace lrnn
