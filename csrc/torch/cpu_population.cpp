// The operator that advances a population of neurons, on the CPU.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "../cpu/populations.h"
#include "operator.h"
#include "population.h"

namespace lrnn {
namespace {

struct Free {
  void operator()(void* p) const { free(p); }
};

// What all neurons of a call share; the last few are kept, since a long run is many calls.
std::shared_ptr<const void> shared_by(const PopulationKernels& kernels, double dt) {
  if (kernels.shared_bytes == 0) return nullptr;
  struct Kept {
    const PopulationKernels* kernels = nullptr;
    double dt = 0;
    std::shared_ptr<const void> shared;
  };
  static std::mutex mutex;
  static Kept kept[4];
  static int oldest = 0;
  const std::lock_guard lock(mutex);
  for (const Kept& k : kept)
    if (k.kernels == &kernels && k.dt == dt) return k.shared;
  const size_t bytes = (kernels.shared_bytes + 63) / 64 * 64;
  std::unique_ptr<void, Free> fresh(aligned_alloc(64, bytes));
  if (!fresh) throw memory::OutOfMemory{bytes};
  kernels.share(dt, fresh.get());
  Kept& place = kept[oldest];
  oldest = (oldest + 1) % 4;
  place = {&kernels, dt, std::shared_ptr<const void>(std::move(fresh))};
  return place.shared;
}

void run_population(Watch& watch, const PopulationKernels& kernels, PopulationArgs& args) {
  const std::shared_ptr<const void> shared = shared_by(kernels, args.dt);
  args.watch = &watch;
  const int64_t threads = torch::stable::get_num_threads(), lanes = kernels.lanes;
  const int64_t size = args.B > lanes * threads ? kGroups * lanes : lanes;
  const int64_t tasks = (args.B + size - 1) / size;
  std::atomic<int64_t> next{0};  // tasks take equally long, but threads may have to share a core
  parallel_for(std::min(threads, tasks), [&](int64_t) {
    for (int64_t i; !watch.stopped() && (i = next++) < tasks;)
      kernels.run(args, shared.get(), i * size, std::min(size, args.B - i * size));
  });
  if (watch.stopped()) throw Interrupted();
}

void population(const std::string& model, const PopulationTensors& given, Scheme scheme) {
  run_operator("population", "", [&](Watch& watch) {
    const PopulationKernels* const kernels =
        find_population(model.c_str(), given.is_double(), scheme);
    STD_TORCH_CHECK(kernels, "population: no CPU kernel of the model ", model,
                    " for this dtype and scheme, or none for this processor (or LRNN_ISA)");
    PopulationCall call(given, kernels->channels, kernels->states);
    if (!call.is_empty()) run_population(watch, *kernels, call.args);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
  m.impl("population", TORCH_BOX(&population_operator<population>));
}

}  // namespace lrnn
