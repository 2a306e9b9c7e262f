// The operator that advances a population of neurons: lrnn_kernels/neurons/engine.py says what each
// of its arguments is, and lrnn_kernels/neurons/compiled.py has its schema.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "../cpu/populations.h"
#include "operator.h"
#include "tensors.h"

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

// Checks that a tensor is what a kernel will take it for.
void require(const Tensor& x, const char* name, ScalarType type,
             std::initializer_list<int64_t> sizes) {
  bool fits = x.scalar_type() == type && x.is_contiguous() &&
              x.dim() == static_cast<int64_t>(sizes.size()) &&
              x.device().type() == torch::headeronly::DeviceType::CPU;
  int64_t d = 0;
  for (const int64_t size : sizes) fits = fits && x.size(d++) == size;
  STD_TORCH_CHECK(fits, "population: ", name, " has not the shape, dtype or device of this call");
}

// A tensor (1,) or (B,), or its first dimension (samples, 1) or (samples, B).
int64_t columns_of(const Tensor& x, int64_t B) {
  const int64_t last = x.dim() > 0 ? x.size(x.dim() - 1) : 0;
  return last == 1 ? 1 : B;
}

struct NoiseTensors {
  Optional sigma, neurons, sections;
  int64_t seed, every, warm_up;

  NoiseArgs args(ScalarType type, int64_t B) const {
    STD_TORCH_CHECK(neurons && sections && every > 0 && warm_up >= 0,
                    "population: noise has a sigma, neurons, sections, every > 0 and warm_up >= 0");
    require(*sigma, "sigma", type, {columns_of(*sigma, B)});
    require(*neurons, "neurons", ScalarType::Long, {B});
    require(*sections, "sections", ScalarType::Float, {2, 3});
    NoiseArgs args{sigma->const_data_ptr(),
                   sigma->size(0) != 1,
                   static_cast<const int64_t*>(neurons->const_data_ptr()),
                   static_cast<uint64_t>(seed),
                   every,
                   warm_up,
                   {}};
    const auto* const from = static_cast<const float*>(sections->const_data_ptr());
    std::copy(from, from + 6, &args.sections[0][0]);
    return args;
  }
};

void check_current(const Tensor& current, ScalarType type, const PopulationArgs& args) {
  STD_TORCH_CHECK(current.dim() == 2 && current.size(0) >= 1, "population: current is (n, 1 or B)");
  require(current, "current", type, {current.size(0), columns_of(current, args.B)});
  if (current.size(0) == 1) return;
  const double end = (static_cast<double>(args.first_step + args.steps - 1) + 0.5);
  STD_TORCH_CHECK(
      args.current_rate > 0 && end * args.current_rate + 1 < static_cast<double>(current.size(0)),
      "population: current ends before the last step");
}

void check_record(const Tensor& record, ScalarType type, const PopulationArgs& args, int states) {
  STD_TORCH_CHECK(args.record_every > 0, "population: record_every is above 0");
  const int64_t every = args.record_every, last = args.first_step + args.steps;
  const int64_t samples = (last + every - 1) / every - (args.first_step + every - 1) / every;
  require(record, "record", type, {samples, args.recorded, args.B});
  for (int64_t i = 0; i < args.recorded; ++i)
    STD_TORCH_CHECK(args.record_states[i] >= 0 && args.record_states[i] < states,
                    "population: no state has the number ", args.record_states[i]);
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

void population(std::string model, Tensor g, Tensor state, Tensor times, Tensor counts,
                int64_t first_step, int64_t steps, double dt, double discard, double up,
                double down, Optional current, double current_rate, Optional sigma,
                Optional neurons, Optional sections, int64_t seed, int64_t every, int64_t warm_up,
                Optional record, int64_t record_every, std::vector<int64_t> record_states,
                bool as_written) {
  run_operator("population", "", [&](Watch& watch) {
    const ScalarType type = g.scalar_type();
    STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                    "population: g is float32 or float64");
    const PopulationKernels* const kernels = find_population(
        model.c_str(), type == ScalarType::Double, as_written ? Scheme::written : Scheme::standard);
    STD_TORCH_CHECK(kernels, "population: no CPU kernel of the model ", model,
                    " for this dtype and scheme, or none for this processor (or LRNN_ISA)");
    STD_TORCH_CHECK(
        first_step >= 0 && steps >= 0 && dt > 0 && up >= down && g.dim() == 2 && times.dim() == 2,
        "population: first_step and steps are not negative, dt is above 0, up is not "
        "below down, g and times have two dimensions");
    PopulationArgs args{};
    args.B = g.size(0);
    args.columns = kernels->states + ExtraColumns::count;
    args.max_spikes = times.size(1);
    args.first_step = first_step;
    args.steps = steps;
    require(g, "g", type, {args.B, kernels->channels});
    require(state, "state", ScalarType::Double, {args.B, args.columns});
    require(times, "times", ScalarType::Double, {args.B, args.max_spikes});
    require(counts, "counts", ScalarType::Long, {args.B});
    args.g = g.const_data_ptr();
    args.state = static_cast<double*>(state.mutable_data_ptr());
    args.times = static_cast<double*>(times.mutable_data_ptr());
    args.counts = static_cast<int64_t*>(counts.mutable_data_ptr());
    args.dt = dt;
    args.discard = discard;
    args.up = up;
    args.down = down;
    args.current_rate = current_rate;
    args.record_every = record_every;
    args.record_states = record_states.data();
    args.recorded = static_cast<int64_t>(record_states.size());
    if (args.B == 0 || steps == 0) return;
    if (current) {
      check_current(*current, type, args);
      args.current = current->const_data_ptr();
      args.samples = current->size(0);
      args.current_columns = current->size(1);
    }
    NoiseArgs noise;
    if (sigma) {
      noise = NoiseTensors{sigma, neurons, sections, seed, every, warm_up}.args(type, args.B);
      args.noise = &noise;
    }
    if (record) {
      check_record(*record, type, args, kernels->states);
      args.record = record->mutable_data_ptr();
    }
    run_population(watch, *kernels, args);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) { m.impl("population", TORCH_BOX(&population)); }

}  // namespace lrnn
