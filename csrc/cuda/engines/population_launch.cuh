// Launches the kernels of one neuron: the host's side of a call.
#pragma once

#include "../../neurons/threshold.h"
#include "launch.cuh"
#include "population.cuh"

namespace lrnn::LRNN_ISA {

template <class Model, class R, template <class> class SchemeOf>
struct PopulationLauncher {
  using How = FromTheFirst<SchemeOf<R>, R>;
  using Call = PopulationCall<R, How>;

  static int run(const PopulationArgs& args, const GpuPopulationLayout& layout, void* stream) {
    if (args.B == 0) return 0;
    if (args.recorded > kGpuRecorded) return static_cast<int>(cudaErrorInvalidValue);
    const Drive drive = args.noise                         ? Drive::noise
                        : args.current && args.samples > 1 ? Drive::waveform
                                                           : Drive::constant;
    const auto kernel = drive == Drive::noise      ? population<Model, R, How, Drive::noise>
                        : drive == Drive::waveform ? population<Model, R, How, Drive::waveform>
                                                   : population<Model, R, How, Drive::constant>;
    Call call{args,
              args.noise ? *args.noise : NoiseArgs{},
              {{Times<R>::template of<Model>(args.dt)}},
              reached<R>(args.up),
              reached<R>(args.down),
              0,
              0,
              0,
              {}};
    call.all.noise = nullptr;
    call.all.record_states = nullptr;
    call.all.watch = nullptr;
    for (int64_t c = 0; args.record && c < args.recorded; ++c)
      call.states[c] = static_cast<unsigned char>(args.record_states[c]);
    const int64_t last = args.first_step + args.steps, every = args.record_every;
    for (int64_t step = args.first_step; step < last; step += layout.steps) {
      call.all.first_step = step;
      call.steps = static_cast<int>(last - step < layout.steps ? last - step : layout.steps);
      call.first_record = call.steps;
      if (args.record) {
        const int64_t sample = samples_before(step, every), due = sample * every - step;
        if (due < call.steps) call.first_record = static_cast<int>(due);
        call.first_sample = sample - samples_before(args.first_step, every);
      }
      if (const int error = launch(kernel, dim3(layout.blocks), dim3(layout.threads), stream, call))
        return error;
    }
    return 0;
  }

  static int64_t samples_before(int64_t step, int64_t every) { return (step + every - 1) / every; }

  static GpuPopulationKernels kernels() { return {Model::kChannels, kStates<Model>, run}; }
};

template <class Model>
GpuPopulationKernels gpu_population(bool is_double, Scheme scheme) {
  if (is_double)
    return scheme == Scheme::written ? PopulationLauncher<Model, double, Written>::kernels()
                                     : PopulationLauncher<Model, double, Standard>::kernels();
  if (scheme == Scheme::written) return {};
  return PopulationLauncher<Model, float, Standard>::kernels();
}

}  // namespace lrnn::LRNN_ISA
