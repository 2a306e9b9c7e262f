// The engine of populations: the time loop of a few groups of neurons, a lane each, whose states
// stay in registers and in the L1 cache from the first step of a call to its last.
//
// Lanes never meet: what becomes of a neuron does not depend on which others share its registers.
// Lanes without a neuron repeat the last one, and nothing of them is written.
#pragma once

#include "../../neurons/threshold.h"
#include "../noise.h"
#include "gate_table.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kRow = 64;               // steps whose currents are laid out at a time
inline constexpr int64_t kStretch = 1 << 12;  // steps between two questions to the watch

template <class Model, class R>
struct Group {
  using P = Pack<R, 2>;
  static constexpr int kLanes = P::kLanes;
  static_assert(kLanes <= kNoiseLanes);

  P state[kStates<Model>], g[Model::kChannels], E;
  P threshold;     // up, or down for those above it
  uint32_t risen;  // lanes that were at their threshold or above in the step before
  uint32_t above;  // neurons that have crossed up, and not yet down
  int64_t first;   // neuron
  int count;       // of them
  double crossing[kLanes];
  P current[kRow];
  int current_step;  // 1, or 0 where every step has the same
  NoiseLanes noise;

  static R& lane(P& x, int i) { return reinterpret_cast<R*>(&x)[i]; }
  int64_t neuron(int i) const { return first + (i < count ? i : count - 1); }

  void load(const PopulationArgs& args, int64_t first_, int count_) {
    first = first_;
    count = count_;
    risen = above = 0;
    for (int i = 0; i < kLanes; ++i) {
      const int64_t b = neuron(i);
      const double* const from = args.state + b * args.columns;
      for (int k = 0; k < kStates<Model>; ++k) lane(state[k], i) = static_cast<R>(from[k]);
      for (int k = 0; k < Model::kChannels; ++k)
        lane(g[k], i) = static_cast<const R*>(args.g)[b * Model::kChannels + k];
      const double* const extra = from + kStates<Model>;
      lane(E, i) = static_cast<R>(extra[ExtraColumns::E]);
      const bool is_above = extra[ExtraColumns::above] != 0;
      above |= uint32_t{is_above} << i;
      lane(threshold, i) = reached<R>(is_above ? args.down : args.up);
      crossing[i] = extra[ExtraColumns::crossing];
      if (!args.noise) continue;
      for (int k = 0; k < kNoiseSections; ++k) {
        noise.s1[k][i] = static_cast<float>(extra[ExtraColumns::sections + 2 * k]);
        noise.s2[k][i] = static_cast<float>(extra[ExtraColumns::sections + 2 * k + 1]);
      }
      noise.now[i] = static_cast<float>(extra[ExtraColumns::filtered]);
      noise.next[i] = static_cast<float>(extra[ExtraColumns::filtered + 1]);
      const auto number = static_cast<uint64_t>(args.noise->neurons[b]);
      noise.low[i] = static_cast<uint32_t>(number);
      noise.high[i] = static_cast<uint32_t>(number >> 32);
    }
    risen = above;
    noise.block = -1;
    for (int i = kLanes; args.noise && i < kNoiseLanes; ++i) {  // unused: any numbers
      for (int k = 0; k < kNoiseSections; ++k) noise.s1[k][i] = noise.s2[k][i] = 0;
      noise.now[i] = noise.next[i] = 0;
      noise.low[i] = noise.high[i] = 0;
    }
  }

  void store(const PopulationArgs& args) {
    for (int i = 0; i < count; ++i) {
      double* const to = args.state + (first + i) * args.columns;
      for (int k = 0; k < kStates<Model>; ++k) to[k] = lane(state[k], i);
      double* const extra = to + kStates<Model>;
      extra[ExtraColumns::E] = lane(E, i);
      extra[ExtraColumns::above] = above >> i & 1;
      extra[ExtraColumns::crossing] = crossing[i];
      if (!args.noise) continue;
      for (int k = 0; k < kNoiseSections; ++k) {
        extra[ExtraColumns::sections + 2 * k] = noise.s1[k][i];
        extra[ExtraColumns::sections + 2 * k + 1] = noise.s2[k][i];
      }
      extra[ExtraColumns::filtered] = noise.now[i];
      extra[ExtraColumns::filtered + 1] = noise.next[i];
    }
  }

  // Some lane has reached its threshold in a step, or has fallen below it.
  [[gnu::noinline]] void cross(const PopulationArgs& args, int64_t step, uint32_t at, P before) {
    for (uint32_t changed = at ^ risen; changed; changed &= changed - 1) {
      const int i = __builtin_ctz(changed);
      const uint32_t bit = uint32_t{1} << i;
      if (!(above & bit)) {
        const double vo = lane(before, i), vn = lane(state[0], i);
        crossing[i] = (static_cast<double>(step) + (args.up - vo) / (vn - vo)) * args.dt;
        lane(threshold, i) = reached<R>(args.down);
        above |= bit;
      } else if (lane(state[0], i) < reached<R>(args.down)) {  // not if it is NaN
        lane(threshold, i) = reached<R>(args.up);
        above &= ~bit;
        if (i < count && crossing[i] >= args.discard) {
          const int64_t b = first + i, n = args.counts[b]++;
          if (n < args.max_spikes) args.times[b * args.max_spikes + n] = crossing[i];
        }
      }
    }
    risen = at;
  }

  void record(const PopulationArgs& args, int64_t sample) {
    for (int64_t c = 0; c < args.recorded; ++c) {
      R* const to = static_cast<R*>(args.record) + (sample * args.recorded + c) * args.B + first;
      const P& from = state[args.record_states[c]];
      __builtin_memcpy(to, &from, count * sizeof(R));
    }
  }

  // Lays out the currents in the middle of steps [step, step + steps).
  void drive(const PopulationArgs& args, int64_t step, int steps) {
    const R* const given = static_cast<const R*>(args.current);
    const int64_t columns = args.current_columns;
    const auto column = [&](int i) { return columns == 1 ? 0 : neuron(i); };
    current_step = args.noise || (given && args.samples > 1);
    const int rows = current_step ? steps : 1;
    for (int t = 0; t < rows; ++t) {
      if (!given) {
        current[t] = P{};
      } else if (args.samples == 1) {
        for (int i = 0; i < kLanes; ++i) lane(current[t], i) = given[column(i)];
      } else {
        const double p = (static_cast<double>(step + t) + 0.5) * args.current_rate;
        const int64_t k = static_cast<int64_t>(p);
        const R w = static_cast<R>(p - static_cast<double>(k));
        const R *const a = given + k * columns, *const b = a + columns;
        for (int i = 0; i < kLanes; ++i) {
          const int64_t at = column(i);
          lane(current[t], i) = a[at] + w * (b[at] - a[at]);
        }
      }
    }
    if (!args.noise) return;
    float white[kRow][kNoiseLanes];
    fill_noise(*args.noise, noise, step, steps, white);
    const R* const sigma = static_cast<const R*>(args.noise->sigma);
    for (int i = 0; i < kLanes; ++i) {
      const R scale = sigma[args.noise->per_neuron ? neuron(i) : 0];
      for (int t = 0; t < steps; ++t)
        lane(current[t], i) = lane(current[t], i) + scale * static_cast<R>(white[t][i]);
    }
  }
};

// The schemes as a kernel has them: what is shared by all neurons of a call, and how a step is
// taken.
template <class Model, class R, template <class> class SchemeOf>
struct ByEquations {
  using P = typename Group<Model, R>::P;
  using How = SchemeOf<P>;
  static constexpr size_t kBytes = 0;

  static void share(double, void*) {}
  static How how(const PopulationArgs& args, const void*) {
    return {Times<P>::template of<Model>(args.dt)};
  }
};

#if defined(__AVX512F__)
template <class Model>
struct ByTable {
  using P = typename Group<Model, float>::P;
  using How = Tabled<P>;
  static constexpr size_t kBytes = sizeof(GateTable<Model>);

  static void share(double dt, void* shared) { static_cast<GateTable<Model>*>(shared)->build(dt); }
  static How how(const PopulationArgs& args, const void* shared) {
    return {{Times<P>::template of<Model>(args.dt)},
            static_cast<const GateTable<Model>*>(shared)->rows};
  }
};
#endif

template <class Model, class R, class By>
struct Population {
  using G = Group<Model, R>;
  using P = typename G::P;

  // Takes groups through steps whose currents are laid out.
  [[gnu::noinline]] static void advance(const PopulationArgs& args, const typename By::How& how,
                                        G* groups, int count, int64_t first, int64_t steps) {
    for (int64_t t = 0; t < steps; ++t) {
      for (G* group = groups; group < groups + count; ++group) {
        const P before = group->state[0];
        Model::step(how, group->g, group->current[t * group->current_step], group->state, group->E);
        const uint32_t at = at_least(group->state[0], group->threshold);
        if (at != group->risen) [[unlikely]]
          group->cross(args, first + t, at, before);
      }
    }
  }

  // Before its first step a neuron has no E: that of the step itself takes its place, for which the
  // step is tried.
  static void find_E(const PopulationArgs& args, const typename By::How& how, G& group,
                     int64_t step) {
    bool missing = false;
    for (int i = 0; i < G::kLanes; ++i) missing |= !(G::lane(group.E, i) == G::lane(group.E, i));
    if (!missing) return;
    G trial = group;
    trial.E = P{};
    trial.threshold = P{} + R(__builtin_inf());
    trial.above = trial.risen = 0;
    trial.count = 0;
    advance(args, how, &trial, 1, step, 1);
    for (int i = 0; i < G::kLanes; ++i)
      if (!(G::lane(group.E, i) == G::lane(group.E, i))) G::lane(group.E, i) = G::lane(trial.E, i);
  }

  static void run(const PopulationArgs& args, const void* shared, int64_t first, int64_t count) {
    const typename By::How how = By::how(args, shared);
    G groups[kGroups];
    int used = 0;
    for (int64_t i = 0; i < count; i += G::kLanes)
      groups[used++].load(args, first + i,
                          static_cast<int>(count - i < G::kLanes ? count - i : G::kLanes));
    const bool varies = args.noise || (args.current && args.samples > 1);
    const int64_t last = args.first_step + args.steps;
    int64_t sample = 0;
    for (int64_t step = args.first_step; step < last;) {
      const int64_t most = varies ? kRow : kStretch;
      int64_t steps = last - step < most ? last - step : most;
      if (args.record) {
        const int64_t since = step % args.record_every;
        for (int i = 0; since == 0 && i < used; ++i) groups[i].record(args, sample);
        sample += since == 0;
        if (steps > args.record_every - since) steps = args.record_every - since;
      }
      for (int i = 0; i < used; ++i) {
        if (varies || step == args.first_step) groups[i].drive(args, step, static_cast<int>(steps));
        if (step == args.first_step) find_E(args, how, groups[i], step);
      }
      advance(args, how, groups, used, step, steps);
      step += steps;
      if (!args.watch->go_on(steps * count * 4)) return;  // nanoseconds, about
    }
    for (int i = 0; i < used; ++i) groups[i].store(args);
  }

  static constexpr PopulationKernels kKernels{G::kLanes,  Model::kChannels, kStates<Model>,
                                              By::kBytes, By::share,        run};
};

template <NeuronModel Model>
const PopulationKernels* population_kernels(bool is_double, Scheme scheme) {
  if (is_double && scheme == Scheme::written)
    return &Population<Model, double, ByEquations<Model, double, Written>>::kKernels;
  if (scheme != Scheme::standard) return nullptr;
  if (is_double) return &Population<Model, double, ByEquations<Model, double, Standard>>::kKernels;
#if defined(__AVX512F__)
  return &Population<Model, float, ByTable<Model>>::kKernels;
#else
  return &Population<Model, float, ByEquations<Model, float, Standard>>::kKernels;
#endif
}

}  // namespace lrnn::LRNN_ISA
