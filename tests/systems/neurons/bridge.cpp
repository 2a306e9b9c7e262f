// The kernels of one instruction set, without torch, threads or signals: what tests call of each
// that this machine runs.
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "cpu/populations.h"
#include "neurons/list.h"

namespace lrnn {

namespace LRNN_ISA {
#define LRNN_DECLARE(name, Model) \
  const PopulationKernels* name##_population(bool is_double, Scheme scheme);
LRNN_NEURONS(LRNN_DECLARE)
}  // namespace LRNN_ISA

Watch::Watch(bool (*interrupted)()) : interrupted_(interrupted), caller_() {}
bool Watch::go_on(int64_t) { return true; }

}  // namespace lrnn

using namespace lrnn;

// Whether there is such a kernel.
extern "C" int run(const char* model, int is_double, int written, PopulationArgs* args) {
  const PopulationKernels* kernels = nullptr;
  const Scheme scheme = written ? Scheme::written : Scheme::standard;
#define LRNN_FIND(name, Model) \
  if (strcmp(model, #name) == 0) kernels = LRNN_ISA::name##_population(is_double != 0, scheme);
  LRNN_NEURONS(LRNN_FIND)
  if (!kernels) return 0;
  Watch watch(nullptr);
  args->watch = &watch;
  void* const shared = aligned_alloc(64, (kernels->shared_bytes + 64) / 64 * 64);
  kernels->share(args->dt, shared);
  const int64_t size = kGroups * kernels->lanes;
  for (int64_t first = 0; first < args->B; first += size)
    kernels->run(*args, shared, first, std::min(size, args->B - first));
  free(shared);
  return 1;
}
