// Whole images: the steps of all layers, and the read-out. Compiled once per instruction set.
#include "args.h"
#include "coding.h"
#include "neurons.h"

namespace lrnn::fixed_point::LRNN_ISA {

namespace {

// +10 for the class of a neuron, -1 for the others, on ten accumulators that are checked after
// every step.
class ReadOut {
 public:
  explicit ReadOut(const Job& job) : job_(job) {}

  bool add(const uint32_t* spiking, int count, Failure* failure) {
    if (!count) return true;
    for (int e = 0; e < count; ++e) votes_[spiking[e] % kClasses] += 11;
    for (int c = 0; c < kClasses; ++c) votes_[c] -= count;
    for (int c = 0; c < kClasses; ++c) {
      if (votes_[c] < job_.lowest || votes_[c] > job_.highest) {
        failure->layer = -1;
        failure->neuron = c;
        failure->value = votes_[c];
        return false;
      }
    }
    return true;
  }

  void write(int32_t* to) const {
    for (int c = 0; c < kClasses; ++c) to[c] = static_cast<int32_t>(votes_[c]);
  }

 private:
  const Job& job_;
  int64_t votes_[kClasses] = {};
};

// Additions of weights between two questions to the watch: some ten milliseconds at the worst.
constexpr int64_t kStretch = 1 << 24;

// What a job has done since it last asked.
class Asking {
 public:
  explicit Asking(Watch* watch) : watch_(watch) {}
  bool go_on(int64_t work) {
    work_ += work;
    if (work_ < kStretch) return true;
    const int64_t done = work_ / kPad;  // a register a nanosecond
    work_ = 0;
    return watch_->go_on(done);
  }

 private:
  Watch* const watch_;
  int64_t work_ = 0;
};

template <bool kWatched, class Input>
bool run_image(const Job& job, const Scratch& scratch, int64_t image, Failure* failure) {
  Input input(job, scratch, image);
  ReadOut read_out(job);
  Asking asking(job.watch);
  int16_t* state = scratch.state;
  for (int l = 0; l < job.depth; ++l) {
    LayerState(job.layers[l], state, nullptr).clear();
    state += 3 * job.layers[l].padded;
  }
  for (int64_t step = 0; step < job.frames; ++step) {
    uint32_t *events = scratch.events[0], *spiking = scratch.events[1];
    int count = input.events(step, events);
    state = scratch.state;
    for (int l = 0; l < job.depth; ++l) {
      LayerState layer(job.layers[l], state, scratch.wide);
      state += 3 * job.layers[l].padded;
      if (!asking.go_on(int64_t{count + kPad} * job.layers[l].padded + job.inputs)) return false;
      Overflow overflow;
      if (!integrate(layer, events, count, &overflow)) {
        *failure = {image, step, l, overflow.neuron, overflow.value};
        return false;
      }
      count = fire<kWatched>(layer, spiking, kWatched ? job.waves + l : nullptr, step, nullptr);
      job.spikes[image * job.depth + l] += count;
      uint32_t* free = events;
      events = spiking;
      spiking = free;
    }
    if (!read_out.add(events, count, failure)) {
      failure->image = image;
      failure->step = step;
      return false;
    }
    if constexpr (kWatched) read_out.write(job.votes_by_step + step * kClasses);
  }
  read_out.write(job.votes + image * kClasses);
  return true;
}

bool run(const Job& job, const Scratch& scratch, int64_t image, Failure* failure) {
  if (job.waves) return run_image<true, Recorded>(job, scratch, image, failure);
  if (job.bits) return run_image<false, Recorded>(job, scratch, image, failure);
  return run_image<false, Coded>(job, scratch, image, failure);
}

void encode(const Job& job, const Scratch& scratch, int64_t image, uint8_t* bits) {
  Coded input(job, scratch, image);
  const int64_t bytes = (job.inputs + 7) / 8;
  Asking asking(job.watch);
  for (int64_t step = 0; step < job.frames && asking.go_on(int64_t{kPad} * job.inputs);
       ++step, bits += bytes) {
    const int count = input.events(step, scratch.events[0]);
    for (int e = 0; e < count; ++e) {
      const uint32_t pixel = scratch.events[0][e];
      bits[pixel / 8] |= static_cast<uint8_t>(1u << pixel % 8);
    }
  }
}

bool drive(const Drive& job, const Scratch& scratch, Failure* failure) {
  const Layer layer{0, job.neurons, (job.neurons + kPad - 1) / kPad * kPad, 0, nullptr};
  LayerState state(layer, scratch.state, nullptr);
  state.clear();
  Asking asking(job.watch);
  for (int64_t step = 0; step < job.steps && asking.go_on(int64_t{kPad} * layer.padded); ++step) {
    Overflow overflow;
    if (job.sums && !integrate_wide(state, job.sums + step * job.neurons, job.neurons, &overflow)) {
      *failure = {0, step, 0, overflow.neuron, overflow.value};
      return false;
    }
    fire<true>(state, scratch.events[0], &job.waves, step, job.X);
  }
  return true;
}

}  // namespace

Kernels kernels() { return {run, encode, drive}; }

}  // namespace lrnn::fixed_point::LRNN_ISA
