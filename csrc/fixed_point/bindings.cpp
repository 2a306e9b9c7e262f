// The Python face of the fixed-point kernels. Arguments are checked by lrnn_kernels/fixed_point/;
// here only what memory safety needs.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "run.h"

namespace py = pybind11;

namespace lrnn::fixed_point {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// Whether a signal's handler has raised an exception, which is then Python's current one.
bool interrupted() {
  const py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

// Runs work without Python's lock; raises what a handler raised meanwhile.
template <class Work>
auto unlocked(Watch*& watch_of_job, Work work) {
  Watch watch(interrupted);
  watch_of_job = &watch;
  const auto result = [&] {
    const py::gil_scoped_release release;
    return work();
  }();
  if (watch.stopped()) throw py::error_already_set();
  return result;
}

// (image, step, layer, neuron, value) or None.
py::object as_tuple(const std::optional<Failure>& failure) {
  if (!failure) return py::none();
  return py::make_tuple(failure->image, failure->step, failure->layer, failure->neuron,
                        failure->value);
}

// Arrays (steps, neurons) for one layer, and the pointers to them.
struct WaveArrays {
  Array<int16_t> I, X, z, u, h, h_s;
  Array<bool> spike;

  WaveArrays(int64_t steps, int neurons)
      : I({steps, int64_t{neurons}}),
        X({steps, int64_t{neurons}}),
        z({steps, int64_t{neurons}}),
        u({steps, int64_t{neurons}}),
        h({steps, int64_t{neurons}}),
        h_s({steps, int64_t{neurons}}),
        spike({steps, int64_t{neurons}}) {}
  Waves waves() {
    return {I.mutable_data(),
            X.mutable_data(),
            z.mutable_data(),
            u.mutable_data(),
            h.mutable_data(),
            h_s.mutable_data(),
            reinterpret_cast<uint8_t*>(spike.mutable_data())};
  }
  py::tuple tuple() const { return py::make_tuple(I, X, z, u, h, h_s, spike); }
};

template <class T>
Array<T> zeros(std::vector<int64_t> shape) {
  Array<T> array(shape);
  std::fill_n(array.mutable_data(), array.size(), T{});
  return array;
}

Network make_network(const std::vector<Array<int16_t>>& layers) {
  require(!layers.empty(), "a network has at least one layer");
  Network network;
  for (const auto& weights : layers) {
    require(weights.ndim() == 2 && weights.shape(0) > 0 && weights.shape(1) > 0,
            "weights are (neurons, inputs)");
    const bool fits =
        network.layers().empty() || network.layers().back().neurons == weights.shape(1);
    require(fits, "a layer has as many inputs as the layer before has neurons");
    require(weights.shape(0) <= kMostInputs && weights.shape(1) <= kMostInputs,
            "a layer is too wide");
    network.add(weights.data(), static_cast<int>(weights.shape(0)),
                static_cast<int>(weights.shape(1)));
  }
  return network;
}

Job job_of(const Network& network, int accumulator_bits) {
  Job job{};
  job.layers = network.layers().data();
  job.depth = static_cast<int>(network.layers().size());
  job.inputs = network.inputs();
  job.highest = (int64_t{1} << (accumulator_bits - 1)) - 1;
  job.lowest = -job.highest - 1;
  return job;
}

void set_coding(Job& job, const Array<uint8_t>& pixels, int64_t frames, int64_t silent,
                uint64_t seed, uint64_t first) {
  require(pixels.ndim() == 2 && frames >= silent && silent >= 0,
          "images are (images, pixels), frames at least silent");
  job.pixels = pixels.data();
  job.frames = frames;
  job.silent = silent;
  job.seed = seed;
  job.first = first;
}

void set_traces(Job& job, const Array<uint8_t>& bits) {
  require(bits.ndim() == 3 && bits.shape(2) == (job.inputs + 7) / 8,
          "traces are (images, frames, bytes)");
  const int last = job.inputs % 8;
  if (const int64_t bytes = bits.shape(2); last)
    for (int64_t i = bytes - 1; i < bits.size(); i += bytes)
      require(bits.data()[i] >> last == 0, "a bit beyond the last input is set");
  job.bits = bits.data();
  job.frames = bits.shape(1);
}

// (votes, spikes, failure).
py::tuple run_all(Job& job, int64_t images, int threads) {
  auto votes = zeros<int32_t>({images, kClasses});
  auto spikes = zeros<int64_t>({images, job.depth});
  job.votes = votes.mutable_data();
  job.spikes = spikes.mutable_data();
  const auto failure = unlocked(job.watch, [&] { return run(job, images, threads); });
  return py::make_tuple(votes, spikes, as_tuple(failure));
}

py::tuple classify(const Network& network, const Array<uint8_t>& pixels, int64_t frames,
                   int64_t silent, uint64_t seed, uint64_t first, int accumulator_bits,
                   int threads) {
  Job job = job_of(network, accumulator_bits);
  set_coding(job, pixels, frames, silent, seed, first);
  require(pixels.shape(1) == job.inputs, "images have one pixel per input");
  return run_all(job, pixels.shape(0), threads);
}

py::tuple run_traces(const Network& network, const Array<uint8_t>& bits, int accumulator_bits,
                     int threads) {
  Job job = job_of(network, accumulator_bits);
  set_traces(job, bits);
  return run_all(job, bits.shape(0), threads);
}

// (waves of every layer, votes by step, failure) for a trace of one image.
py::tuple watch(const Network& network, const Array<uint8_t>& bits, int accumulator_bits) {
  Job job = job_of(network, accumulator_bits);
  set_traces(job, bits);
  require(bits.shape(0) == 1, "one image is watched");
  std::vector<WaveArrays> arrays;
  std::vector<Waves> waves;
  for (const Layer& layer : network.layers())
    waves.push_back(arrays.emplace_back(job.frames, layer.neurons).waves());
  Array<int32_t> votes({job.frames, int64_t{kClasses}});
  job.waves = waves.data();
  job.votes_by_step = votes.mutable_data();
  const py::tuple result = run_all(job, 1, 1);
  py::list layers;
  for (const WaveArrays& layer : arrays) layers.append(layer.tuple());
  return py::make_tuple(layers, votes, result[2]);
}

Array<uint8_t> encode_all(const Array<uint8_t>& pixels, int64_t frames, int64_t silent,
                          uint64_t seed, uint64_t first, int threads) {
  Job job{};
  set_coding(job, pixels, frames, silent, seed, first);
  job.inputs = static_cast<int>(pixels.shape(1));
  auto bits = zeros<uint8_t>({pixels.shape(0), frames, (job.inputs + 7) / 8});
  uint8_t* to = bits.mutable_data();
  unlocked(job.watch, [&] {
    encode(job, pixels.shape(0), threads, to);
    return true;
  });
  return bits;
}

// (waves, failure) of neurons driven by X or by the sums over their inputs, (steps, neurons).
py::tuple drive_all(const std::optional<Array<int16_t>>& X,
                    const std::optional<Array<int32_t>>& sums) {
  require(X.has_value() != sums.has_value(), "neurons are driven by X or by sums");
  const py::array& given = X ? static_cast<const py::array&>(*X) : *sums;
  require(given.ndim() == 2 && given.shape(1) > 0 && given.shape(1) <= kMostInputs,
          "X and sums are (steps, neurons)");
  const int neurons = static_cast<int>(given.shape(1));
  WaveArrays arrays(given.shape(0), neurons);
  Drive job{neurons,        given.shape(0), X ? X->data() : nullptr, sums ? sums->data() : nullptr,
            arrays.waves(), nullptr};
  const auto failure = unlocked(job.watch, [&] { return drive(job); });
  return py::make_tuple(arrays.tuple(), as_tuple(failure));
}

}  // namespace

PYBIND11_MODULE(_fixed_point, module) {
  py::class_<Network>(module, "Network").def(py::init(&make_network));
  module.def("classify", &classify);
  module.def("run", &run_traces);
  module.def("watch", &watch);
  module.def("encode", &encode_all);
  module.def("drive", &drive_all);
  module.def("isa", &isa_name);
}

}  // namespace lrnn::fixed_point
