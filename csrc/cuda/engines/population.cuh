// The engine of populations: a neuron is a thread, whose states and conductances stay in registers
// from the first step of a launch to its last.
//
// Threads share nothing but what is the same for all of them: of 64 steps at a time, the block lays
// out where in a waveform and between which samples of noise each step is, which takes double
// precision. A spike's crossing and its count are in the neuron's rows of memory, since they are
// touched once a spike only.
#pragma once

#include <cuda_runtime.h>

#include "../../neurons/noise.h"
#include "../../neurons/scheme.h"
#include "../populations.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kRow = 64;               // steps that are laid out at a time
inline constexpr int kPopulationBlock = 128;  // threads, at most

// What drives the neurons: a current that is the same in every step; one that varies; noise,
// whatever else does.
enum class Drive { constant, waveform, noise };

// What a kernel is given. Pointers of `all` to the host's memory are null.
template <class R, class How>
struct PopulationCall {
  PopulationArgs all;
  NoiseArgs noise;
  How how;
  R up, down;                          // the least numbers that are at the thresholds
  int steps;                           // of this launch
  int first_record;                    // the first of them before which states are recorded
  int64_t first_sample;                // which of the call's samples that is
  unsigned char states[kGpuRecorded];  // that are recorded
};

// The scheme, for neurons of which some have no E before their first step (NaN): that of the step
// itself takes its place.
template <class Scheme, class V>
struct FromTheFirst : Scheme {
  LRNN_HD V voltage(V v, const Membrane<V>& m, V& E) const {
    if constexpr (Scheme::kSecondOrder) E = E == E ? E : m.J * reciprocal(m.G);
    return Scheme::voltage(v, m, E);
  }
};

// Where steps are, in a waveform and between samples of noise.
template <class R>
struct Row {
  int64_t at[kRow];     // the sample of a waveform before a step
  R share[kRow];        // of the way to the next one
  R current[kRow];      // what all neurons share
  int64_t drawn[kRow];  // the sample of noise that is due, or -1
  float between[kRow];  // the share of the way from one to the next
};

// Lays out the steps from `step` on.
template <Drive kDrive, class R>
__device__ __forceinline__ void lay_out(const PopulationArgs& args, const NoiseArgs& noise,
                                        int64_t step, int count, Row<R>& row) {
  const bool varies = args.current && args.samples > 1;
  const R* const given = static_cast<const R*>(args.current);
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    if (varies) {
      const double p = rounded_product(static_cast<double>(step + i) + 0.5, args.current_rate);
      const int64_t k = static_cast<int64_t>(p);
      const R w = static_cast<R>(p - static_cast<double>(k));
      row.at[i] = k;
      row.share[i] = w;
      row.current[i] = args.current_columns == 1 ? given[k] + w * (given[k + 1] - given[k]) : R(0);
    }
    if constexpr (kDrive == Drive::noise) {
      const int64_t sample = (step + i) / noise.every, within = (step + i) % noise.every;
      row.drawn[i] = within == 0 ? sample + 1 + noise.warm_up : -1;
      row.between[i] = static_cast<float>((static_cast<double>(within) + 0.5) /
                                          static_cast<double>(noise.every));
    }
  }
}

// The noise of one neuron.
struct NoiseLane {
  uint32_t low, high;  // of the neuron's number
  float s1[kNoiseSections], s2[kNoiseSections], now, next;
  float white[4];  // of a block of Philox
  bool drawn;      // whether `white` is of the block of the sample before

  LRNN_HD void load(const double* extra, int64_t number) {
    low = static_cast<uint32_t>(number);
    high = static_cast<uint32_t>(static_cast<uint64_t>(number) >> 32);
    for (int k = 0; k < kNoiseSections; ++k) {
      s1[k] = static_cast<float>(extra[ExtraColumns::sections + 2 * k]);
      s2[k] = static_cast<float>(extra[ExtraColumns::sections + 2 * k + 1]);
    }
    now = static_cast<float>(extra[ExtraColumns::filtered]);
    next = static_cast<float>(extra[ExtraColumns::filtered + 1]);
    drawn = false;
    for (float& w : white) w = 0;
  }
  LRNN_HD void store(double* extra) const {
    for (int k = 0; k < kNoiseSections; ++k) {
      extra[ExtraColumns::sections + 2 * k] = s1[k];
      extra[ExtraColumns::sections + 2 * k + 1] = s2[k];
    }
    extra[ExtraColumns::filtered] = now;
    extra[ExtraColumns::filtered + 1] = next;
  }
  // Sample m of the white noise, through the filter.
  LRNN_HD void draw(const NoiseArgs& args, int64_t m) {
    const int which = static_cast<int>(m & 3);
    if (which == 0 || !drawn)
      noise_block(args.seed, static_cast<uint64_t>(m) >> 2, low, high, white[0], white[1], white[2],
                  white[3]);
    drawn = true;
    float x = which < 2 ? (which == 0 ? white[0] : white[1]) : (which == 2 ? white[2] : white[3]);
    for (int k = 0; k < kNoiseSections; ++k)
      x = noise_section(args.sections[k & 1], s1[k], s2[k], x);
    now = next;
    next = x;
  }
};

// A neuron's way through one launch.
template <class Model, class R, class How, Drive kDrive>
struct Neuron {
  using Call = PopulationCall<R, How>;
  static constexpr int kN = kStates<Model>;

  const Call& call;
  const PopulationArgs& args;
  const int64_t b;
  R x[kN], g[Model::kChannels], E, constant;
  bool above;
  NoiseLane noise;
  R sigma;

  __device__ __forceinline__ Neuron(const Call& call, int64_t b)
      : call(call), args(call.all), b(b) {
    const double* const from = args.state + b * args.columns;
    for (int k = 0; k < kN; ++k) x[k] = static_cast<R>(from[k]);
    for (int k = 0; k < Model::kChannels; ++k)
      g[k] = static_cast<const R*>(args.g)[b * Model::kChannels + k];
    E = static_cast<R>(from[kN + ExtraColumns::E]);
    above = from[kN + ExtraColumns::above] != 0;
    constant = args.current && args.samples == 1 ? given()[column()] : R(0);
    if constexpr (kDrive == Drive::noise) {
      noise.load(from + kN, call.noise.neurons[b]);
      sigma = static_cast<const R*>(call.noise.sigma)[call.noise.per_neuron ? b : 0];
    }
  }

  __device__ __forceinline__ void store() const {
    double* const to = args.state + b * args.columns;
    for (int k = 0; k < kN; ++k) to[k] = x[k];
    to[kN + ExtraColumns::E] = E;
    to[kN + ExtraColumns::above] = above;
    if constexpr (kDrive == Drive::noise) noise.store(to + kN);
  }

  __device__ __forceinline__ const R* given() const { return static_cast<const R*>(args.current); }
  __device__ __forceinline__ int64_t column() const { return args.current_columns == 1 ? 0 : b; }

  // The current in the middle of a step, which is number i of a row.
  __device__ __forceinline__ R current(const Row<R>& row, int i) {
    R sum = constant;
    if (args.current && args.samples > 1) {
      sum = row.current[i];
      if (args.current_columns != 1) {
        const R* const a = given() + row.at[i] * args.current_columns + b;
        sum = a[0] + row.share[i] * (a[args.current_columns] - a[0]);
      }
    }
    if constexpr (kDrive == Drive::noise) {
      if (row.drawn[i] >= 0) noise.draw(call.noise, row.drawn[i]);
      sum = sum + sigma * static_cast<R>(noise_between(noise.now, noise.next, row.between[i]));
    }
    return sum;
  }

  __device__ __forceinline__ void step(R current, int t) {
    const R before = x[0];
    Model::step(call.how, g, current, x, E);
    if (above ? x[0] < call.down : x[0] >= call.up) cross(before, t);
  }

  // The voltage has crossed up or, if it was above, down.
  __device__ __forceinline__ void cross(R before, int t) {
    double& crossing = args.state[b * args.columns + kN + ExtraColumns::crossing];
    if (!above) {
      const double vo = before, vn = x[0];
      const double step = static_cast<double>(args.first_step + t);
      crossing = (step + (args.up - vo) / (vn - vo)) * args.dt;
    } else if (crossing >= args.discard) {
      const int64_t n = args.counts[b]++;
      if (n < args.max_spikes) args.times[b * args.max_spikes + n] = crossing;
    }
    above = !above;
  }

  // States before a step. Which are asked for is known at run time only, and registers have no
  // addresses.
  __device__ __forceinline__ void record(int64_t sample) const {
    for (int c = 0; c < static_cast<int>(args.recorded); ++c) {
      R value = x[0];
      for (int k = 1; k < kN; ++k) value = call.states[c] == k ? x[k] : value;
      static_cast<R*>(args.record)[(sample * args.recorded + c) * args.B + b] = value;
    }
  }
};

// Blocks that a multiprocessor runs at a time. In float its registers are shared by 64 a thread,
// the most threads that it can be busy with; in double, and where noise has states of its own, by
// more.
template <class R, Drive kDrive>
inline constexpr int kBlocksAtATime = sizeof(R) == 8           ? 4
                                      : kDrive == Drive::noise ? 6
                                                               : 8;

template <class Model, class R, class How, Drive kDrive>
__global__ void __launch_bounds__(kPopulationBlock, (kBlocksAtATime<R, kDrive>))
    population(const __grid_constant__ PopulationCall<R, How> call) {
  const PopulationArgs& args = call.all;
  const int64_t number = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const bool is_one = number < args.B;  // others lay out steps with their block
  if constexpr (kDrive == Drive::constant)
    if (!is_one) return;
  Neuron<Model, R, How, kDrive> neuron(call, is_one ? number : args.B - 1);
  __shared__ Row<R> row;
  int next_record = is_one ? call.first_record : call.steps;
  int64_t sample = call.first_sample;
  for (int first = 0; first < call.steps; first += kRow) {
    const int count = call.steps - first < kRow ? call.steps - first : kRow;
    if constexpr (kDrive != Drive::constant) {
      __syncthreads();  // all have done with the row before
      lay_out<kDrive>(args, call.noise, args.first_step + first, count, row);
      __syncthreads();
    }
    if (!is_one) continue;
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      const int t = first + i;
      if (t == next_record) {
        neuron.record(sample++);
        next_record = args.record_every < call.steps - t ? t + static_cast<int>(args.record_every)
                                                         : call.steps;
      }
      if constexpr (kDrive == Drive::constant)
        neuron.step(neuron.constant, t);
      else
        neuron.step(neuron.current(row, i), t);
    }
  }
  if (is_one) neuron.store();
}

}  // namespace lrnn::LRNN_ISA
