// The nBRC on a device: one launch walks all of the time; the matrices' gradients are products over
// all steps, taken at the end.
#include "../cuda/kernels.h"
#include "call_nbrc.h"
#include "cuda.h"
#include "device.h"

namespace lrnn {
namespace {

GpuNbrcKernels kernels_of(const Call& call) {
  const GpuNbrcKernels kernels = find_gpu_nbrc_kernels(call.storage);
  STD_TORCH_CHECK(kernels.forward, "nbrc: no CUDA kernel for this dtype");
  STD_TORCH_CHECK(call.args.C <= kGpuNbrcChannels, "nbrc: the CUDA kernel holds matrices of up to ",
                  kGpuNbrcChannels, " channels, got ", call.args.C);
  return kernels;
}

GpuNbrcLayout layout_of(const Call& call, const DeviceScope& device) {
  const int64_t multiprocessors = device.gpu().multiprocessors;
  const GpuNbrcLayout layout = kernels_of(call).layout(call.args.B, call.args.C, multiprocessors);
  STD_TORCH_CHECK(layout.groups > 0 || call.args.B == 0, "nbrc: the CUDA kernel holds ",
                  call.args.C, " channels in ", layout.blocks, " multiprocessors, this device has ",
                  multiprocessors);
  return layout;
}

void launch(const Call& call, const DeviceScope& device, bool backward) {
  const GpuNbrcKernels kernels = kernels_of(call);
  const GpuNbrcLayout layout = layout_of(call, device);
  const Tensor workspace = new_contiguous({kernels.workspace_bytes(layout)}, ScalarType::Byte);
  const auto run = backward ? kernels.backward : kernels.forward;
  check_launch(run(call.args, layout, workspace.mutable_data_ptr(), device.stream()), "nbrc");
}

void set_matrices(ScanArgs& args, const Tensors& matrices) {
  for (int i = 0; i < 2; ++i) args.params[i] = {matrices[i].const_data_ptr(), 0, args.C, 0};
}

std::tuple<Tensor, Tensor, Tensor> forward(Tensors inputs, Tensors params, std::vector<double>,
                                           Optional h0, Optional reset, Optional h_reset,
                                           bool reverse, bool save) {
  const DeviceScope device(inputs.at(0));
  Call call(kNbrc, inputs, {}, {}, reverse);
  call.set_states(h0, reset, h_reset);
  const Tensors matrices = nbrc_matrices(call, params);
  set_matrices(call.args, matrices);
  const Outputs out(call, false);
  const Tensor saved = nbrc_new_saved(call, save);
  if (save) call.args.saved = stream<void>(saved, 1, call.args.C);
  launch(call, device, false);
  return {out.y, out.h_last, saved};
}

Tensors backward(Tensors inputs, Tensors params, std::vector<double>, Optional h0, Optional reset,
                 Optional h_reset, bool reverse, Optional states, Optional dy, Optional dh_last) {
  const DeviceScope device(inputs.at(0));
  Call call(kNbrc, inputs, {}, {}, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const int64_t rows = args.B * args.T, C = args.C;
  const Tensors matrices = nbrc_matrices(call, params);
  set_matrices(args, matrices);
  const Tensor saved = nbrc_saved(call, states);
  args.states = stream<const void>(saved, 1, C);
  const Gradients gradients(call, {}, dy, dh_last);
  const Tensor dgates = new_contiguous({args.B, args.T, 2 * C}, call.carry);
  args.saved = stream<void>(dgates, 1, C);
  const Tensor reset_sums = new_zeros({call.h_reset ? args.B : 0, C}, ScalarType::Double);
  args.dreset = call.h_reset ? static_cast<double*>(reset_sums.mutable_data_ptr()) : nullptr;
  launch(call, device, true);

  Tensors result = gradients.inputs;
  Tensor all_saved = torch::stable::view(saved, {rows, 3 * C}),
         all_gates = torch::stable::view(dgates, {rows, 2 * C});
  const Tensor before = torch::stable::narrow(all_saved, 1, 2 * C, C);
  for (int i = 0; i < 2; ++i) {
    const Tensor gate = torch::stable::narrow(all_gates, 1, i * C, C);
    result.push_back(torch::stable::matmul(torch::stable::transpose(gate, 0, 1), before));
  }
  result.push_back(gradients.dh0);
  if (!call.h_reset) {
    result.push_back(new_contiguous({0}, call.carry));
    return result;
  }
  result.push_back(new_gradient(call, *call.h_reset));
  const int64_t groups = call.h_reset->dim() == 2 ? args.B : 1;
  if (groups == 0) return result;
  const auto reduce = find_gpu_step_kernels("brc", call.storage).reduce;
  check_launch(reduce({args.dreset, C, groups, args.B / groups, C, 1, false},
                      result.back().mutable_data_ptr(), device.stream()),
               "nbrc");
  return result;
}

}  // namespace

std::vector<int64_t> gpu_nbrc_layout(const Tensors& inputs) {
  const DeviceScope device(inputs.at(0));
  const GpuNbrcLayout layout = layout_of(Call(kNbrc, inputs, {}, {}, false), device);
  return {layout.blocks, layout.groups, layout.elements};
}

void register_gpu_nbrc(torch::stable::detail::StableLibrary& m) {
  m.impl("nbrc", TORCH_BOX(&forward));
  m.impl("nbrc_backward", TORCH_BOX(&backward));
}

}  // namespace lrnn
