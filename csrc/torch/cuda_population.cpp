// The operator that advances a population of neurons, on a device: launched on torch's stream, and
// not waited for.
#include "../cuda/populations.h"
#include "cuda.h"
#include "device.h"
#include "population.h"

namespace lrnn {
namespace {

void population(const std::string& model, const PopulationTensors& given, Scheme scheme) {
  const bool is_double = given.is_double();
  const GpuPopulationKernels kernels = find_gpu_population(model.c_str(), is_double, scheme);
  STD_TORCH_CHECK(kernels.run, "population: no CUDA kernel of the model ", model,
                  " for this dtype and scheme");
  const PopulationCall call(given, kernels.channels, kernels.states);
  STD_TORCH_CHECK(call.args.recorded <= kGpuRecorded, "population: the CUDA kernels record up to ",
                  kGpuRecorded, " states, got ", call.args.recorded);
  if (call.is_empty()) return;
  const DeviceScope device(given.g);
  const GpuPopulationLayout layout =
      make_gpu_population_layout(call.args.B, is_double, device.gpu());
  check_launch(kernels.run(call.args, layout, device.stream()), "population");
}

}  // namespace

void register_gpu_population(torch::stable::detail::StableLibrary& m) {
  m.impl("population", TORCH_BOX(&population_operator<population>));
}

}  // namespace lrnn
