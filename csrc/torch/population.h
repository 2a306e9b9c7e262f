// One call of the operator that advances a population of neurons, on any device:
// lrnn_kernels/neurons/engine.py says what each of its arguments is, and
// lrnn_kernels/neurons/compiled.py has its schema.
#pragma once

#include <algorithm>
#include <string>

#include "../neurons/args.h"
#include "tensors.h"

namespace lrnn {

// The operator's arguments but for the model and the scheme.
struct __attribute__((visibility("hidden"))) PopulationTensors {
  Tensor g, state, times, counts;
  int64_t first_step, steps;
  double dt, discard, up, down;
  Optional current;
  double current_rate;
  Optional sigma, neurons, sections;
  int64_t seed, every, warm_up;
  Optional record;
  int64_t record_every;
  std::vector<int64_t> record_states;

  bool is_double() const {
    const ScalarType type = g.scalar_type();
    STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                    "population: g is float32 or float64");
    return type == ScalarType::Double;
  }
};

// What a kernel is given, once it is known that nothing is read or written but the tensors.
class __attribute__((visibility("hidden"))) PopulationCall {
 public:
  PopulationCall(const PopulationTensors& given, int channels, int states)
      : given_(given), type_(given.g.scalar_type()) {
    STD_TORCH_CHECK(given.first_step >= 0 && given.steps >= 0 && given.dt > 0 &&
                        given.up >= given.down && given.g.dim() == 2 && given.times.dim() == 2,
                    "population: first_step and steps are not negative, dt is above 0, up is not "
                    "below down, g and times have two dimensions");
    args.B = given.g.size(0);
    args.columns = states + ExtraColumns::count;
    args.max_spikes = given.times.size(1);
    require(given.g, "g", type_, {args.B, channels});
    require(given.state, "state", ScalarType::Double, {args.B, args.columns});
    require(given.times, "times", ScalarType::Double, {args.B, args.max_spikes});
    require(given.counts, "counts", ScalarType::Long, {args.B});
    args.g = given.g.const_data_ptr();
    args.state = static_cast<double*>(given.state.mutable_data_ptr());
    args.times = static_cast<double*>(given.times.mutable_data_ptr());
    args.counts = static_cast<int64_t*>(given.counts.mutable_data_ptr());
    args.first_step = given.first_step;
    args.steps = given.steps;
    args.dt = given.dt;
    args.discard = given.discard;
    args.up = given.up;
    args.down = given.down;
    args.current_rate = given.current_rate;
    args.record_every = given.record_every;
    args.record_states = given.record_states.data();
    args.recorded = static_cast<int64_t>(given.record_states.size());
    if (is_empty()) return;
    if (given.current) set_current(*given.current);
    if (given.sigma) set_noise(*given.sigma);
    if (given.record) set_record(*given.record, states);
  }
  PopulationCall(const PopulationCall&) = delete;

  bool is_empty() const { return args.B == 0 || args.steps == 0; }

  PopulationArgs args{};

 private:
  // Checks that a tensor is what a kernel will take it for.
  void require(const Tensor& x, const char* name, ScalarType type,
               std::initializer_list<int64_t> sizes, bool on_cpu = false) const {
    bool fits = x.scalar_type() == type && x.is_contiguous() &&
                x.dim() == static_cast<int64_t>(sizes.size()) &&
                (on_cpu ? x.device().type() == torch::headeronly::DeviceType::CPU
                        : x.device() == given_.g.device());
    int64_t d = 0;
    for (const int64_t size : sizes) fits = fits && x.size(d++) == size;
    STD_TORCH_CHECK(fits, "population: ", name, " has not the shape, dtype or device of this call");
  }

  // Of a tensor (1,) or (B,), or with a first dimension (samples, 1) or (samples, B).
  int64_t columns_of(const Tensor& x) const {
    const int64_t last = x.dim() > 0 ? x.size(x.dim() - 1) : 0;
    return last == 1 ? 1 : args.B;
  }

  void set_current(const Tensor& current) {
    STD_TORCH_CHECK(current.dim() == 2 && current.size(0) >= 1,
                    "population: current is (n, 1 or B)");
    require(current, "current", type_, {current.size(0), columns_of(current)});
    const double end = static_cast<double>(args.first_step + args.steps - 1) + 0.5;
    STD_TORCH_CHECK(current.size(0) == 1 ||
                        (args.current_rate > 0 &&
                         end * args.current_rate + 1 < static_cast<double>(current.size(0))),
                    "population: current ends before the last step");
    args.current = current.const_data_ptr();
    args.samples = current.size(0);
    args.current_columns = current.size(1);
  }

  void set_noise(const Tensor& sigma) {
    STD_TORCH_CHECK(given_.neurons && given_.sections && given_.every > 0 && given_.warm_up >= 0,
                    "population: noise has a sigma, neurons, sections, every > 0 and warm_up >= 0");
    require(sigma, "sigma", type_, {columns_of(sigma)});
    require(*given_.neurons, "neurons", ScalarType::Long, {args.B});
    require(*given_.sections, "sections", ScalarType::Float, {2, 3}, true);
    noise_ = {sigma.const_data_ptr(),
              sigma.size(0) != 1,
              static_cast<const int64_t*>(given_.neurons->const_data_ptr()),
              static_cast<uint64_t>(given_.seed),
              given_.every,
              given_.warm_up,
              {}};
    const auto* const from = static_cast<const float*>(given_.sections->const_data_ptr());
    std::copy(from, from + 6, &noise_.sections[0][0]);
    args.noise = &noise_;
  }

  void set_record(const Tensor& record, int states) {
    STD_TORCH_CHECK(args.record_every > 0, "population: record_every is above 0");
    const int64_t every = args.record_every, last = args.first_step + args.steps;
    const int64_t samples = (last + every - 1) / every - (args.first_step + every - 1) / every;
    require(record, "record", type_, {samples, args.recorded, args.B});
    for (int64_t i = 0; i < args.recorded; ++i)
      STD_TORCH_CHECK(args.record_states[i] >= 0 && args.record_states[i] < states,
                      "population: no state has the number ", args.record_states[i]);
    args.record = record.mutable_data_ptr();
  }

  const PopulationTensors& given_;
  const ScalarType type_;
  NoiseArgs noise_{};
};

// The operator as torch calls it, of run(model, tensors, scheme).
template <auto run>
void population_operator(std::string model, Tensor g, Tensor state, Tensor times, Tensor counts,
                         int64_t first_step, int64_t steps, double dt, double discard, double up,
                         double down, Optional current, double current_rate, Optional sigma,
                         Optional neurons, Optional sections, int64_t seed, int64_t every,
                         int64_t warm_up, Optional record, int64_t record_every,
                         std::vector<int64_t> record_states, bool as_written) {
  run(model,
      PopulationTensors{g,        state, times, counts,  first_step,   steps,        dt,
                        discard,  up,    down,  current, current_rate, sigma,        neurons,
                        sections, seed,  every, warm_up, record,       record_every, record_states},
      as_written ? Scheme::written : Scheme::standard);
}

}  // namespace lrnn
