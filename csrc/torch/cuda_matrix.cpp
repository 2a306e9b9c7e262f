// Matrix cells on a device: one launch walks all of the time; the matrices' gradients are products
// over all steps, taken at the end.
#include "../cuda/kernels.h"
#include "call_matrix.h"
#include "cuda.h"
#include "device.h"

namespace lrnn {
namespace {

const Tensor& first_of(size_t cell, const Tensors& inputs) {
  STD_TORCH_CHECK(!inputs.empty(), cell_info(cell).name, ": got no inputs");
  return inputs[0];
}

// The same for every storage.
MatrixInfo info_of(size_t cell) {
  return find_gpu_matrix_kernels(cell_info(cell).name, Storage::f32).info;
}

GpuMatrixKernels kernels_of(const Call& call) {
  const char* const name = call.cell.name;
  const GpuMatrixKernels kernels = find_gpu_matrix_kernels(name, call.storage);
  STD_TORCH_CHECK(kernels.forward, name, ": no CUDA kernel for this dtype");
  STD_TORCH_CHECK(call.args.C <= kGpuMatrixChannels, name,
                  ": the CUDA kernel holds matrices of up to ", kGpuMatrixChannels,
                  " channels, got ", call.args.C);
  return kernels;
}

GpuMatrixLayout layout_of(const GpuMatrixKernels& kernels, const Call& call,
                          const DeviceScope& device) {
  const GpuMatrixLayout layout = make_gpu_matrix_layout(kernels.problem(call.args), device.gpu());
  STD_TORCH_CHECK(layout.groups > 0 || call.args.B == 0, call.cell.name, ": the CUDA kernel holds ",
                  call.args.C, " channels in ", layout.blocks, " multiprocessors, this device has ",
                  device.gpu().multiprocessors);
  return layout;
}

void launch(const GpuMatrixKernels& kernels, const MatrixCall& call, const DeviceScope& device,
            bool backward) {
  const GpuMatrixLayout layout = layout_of(kernels, call, device);
  const Tensor workspace = new_contiguous({kernels.workspace_bytes(layout)}, ScalarType::Byte);
  GpuMatrices matrices;
  for (int i = 0; i < call.info.terms; ++i) matrices.blocks[i] = call.block(i);
  const auto run = backward ? kernels.backward : kernels.forward;
  check_launch(run(call.args, matrices, layout, workspace.mutable_data_ptr(), device.stream()),
               call.cell.name);
}

std::tuple<Tensor, Tensor, Tensor> forward(size_t cell, const Tensors& inputs,
                                           const Tensors& params, const Optional& h0,
                                           const Optional& reset, const Optional& h_reset,
                                           bool reverse, bool save) {
  const DeviceScope device(first_of(cell, inputs));
  MatrixCall call(cell_info(cell), info_of(cell), inputs, params, reverse);
  const GpuMatrixKernels kernels = kernels_of(call);
  call.set_states(h0, reset, h_reset);
  const Outputs out(call, false);
  const Tensor saved = call.new_saved(save);
  if (save) call.args.saved = stream<void>(saved, 1, call.args.C);
  launch(kernels, call, device, false);
  return {out.y, out.h_last, saved};
}

// The gradients of the matrices: of every step the products of the gradients of terms with what
// these multiplied, the state before the step or, of late terms, what lies behind them all.
Tensors matrix_gradients(const MatrixCall& call, Tensor saved, Tensor gathered) {
  const int64_t rows = call.args.B * call.args.T, C = call.args.C,
                early = call.info.terms - call.info.late;
  const auto plane_of = [&](Tensor& x, int64_t first, int64_t count) {
    Tensor whole = torch::stable::view(x, {rows, x.size(2)});
    return torch::stable::narrow(whole, 1, first * C, count * C);
  };
  // Of blocks [first, last), which all are late or none is.
  const auto product = [&](int64_t first, int64_t last) {
    Tensor terms = plane_of(gathered, first, last - first);
    const Tensor multiplied = first < early ? plane_of(saved, call.info.saved - call.cell.states, 1)
                                            : plane_of(gathered, call.info.terms, 1);
    return torch::stable::matmul(torch::stable::transpose(terms, 0, 1), multiplied);
  };
  Tensors result;
  int64_t first = 0;
  for (const Tensor& matrix : call.matrices) {
    const int64_t last = first + matrix.size(0) / C, split = std::min(std::max(early, first), last);
    if (split == first || split == last) {
      result.push_back(product(first, last));
    } else {
      Tensor whole = new_contiguous({matrix.size(0), C}, call.carry);
      Tensor of_early = torch::stable::narrow(whole, 0, 0, (split - first) * C),
             of_late = torch::stable::narrow(whole, 0, (split - first) * C, (last - split) * C);
      torch::stable::copy_(of_early, product(first, split));
      torch::stable::copy_(of_late, product(split, last));
      result.push_back(whole);
    }
    first = last;
  }
  return result;
}

Tensors backward(size_t cell, const Tensors& inputs, const Tensors& params, const Optional& h0,
                 const Optional& reset, const Optional& h_reset, bool reverse,
                 const Optional& states, const Optional& dy, const Optional& dh_last) {
  const DeviceScope device(first_of(cell, inputs));
  MatrixCall call(cell_info(cell), info_of(cell), inputs, params, reverse);
  const GpuMatrixKernels kernels = kernels_of(call);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const int64_t C = args.C, width = call.state_channels(), vectors = call.info.params;
  const Tensor saved = call.saved(states);
  args.states = stream<const void>(saved, 1, C);
  const Gradients gradients(call, {}, dy, dh_last);
  const Tensor gathered = new_contiguous({args.B, args.T, kernels.gathered() * C}, call.carry),
               param_sums = new_contiguous({args.B, vectors * C}, ScalarType::Double),
               reset_sums = new_zeros({call.h_reset ? args.B : 0, width}, ScalarType::Double);
  args.saved = stream<void>(gathered, 1, C);
  args.dparams = static_cast<double*>(param_sums.mutable_data_ptr());
  args.dreset = call.h_reset ? static_cast<double*>(reset_sums.mutable_data_ptr()) : nullptr;
  launch(kernels, call, device, true);

  // Adds up sums of batch elements, rows of so many numbers, into a gradient like the given tensor:
  // each for itself where that has one row for each.
  const auto reduced = [&](const double* sums, int64_t row, int64_t planes, const Tensor& like) {
    const Tensor out = new_gradient(call, like);
    const int64_t groups = like.dim() == 2 ? args.B : 1;
    if (groups == 0) return out;
    const Sums all{sums, row, groups, args.B / groups, C, planes, false};
    check_launch(kernels.reduce(all, out.mutable_data_ptr(), device.stream()), call.cell.name);
    return out;
  };
  Tensors result = gradients.inputs;
  for (Tensor& gradient : matrix_gradients(call, saved, gathered)) result.push_back(gradient);
  for (int64_t i = 0; i < vectors; ++i)
    result.push_back(reduced(args.dparams + i * C, vectors * C, 1, call.vectors[i]));
  result.push_back(gradients.dh0);
  result.push_back(call.h_reset ? reduced(args.dreset, width, call.cell.states, *call.h_reset)
                                : new_contiguous({0}, call.carry));
  return result;
}

}  // namespace

std::vector<int64_t> gpu_matrix_layout(size_t cell, const Tensors& inputs) {
  const DeviceScope device(first_of(cell, inputs));
  const Call call(cell_info(cell), inputs, {}, {}, false);
  const GpuMatrixLayout layout = layout_of(kernels_of(call), call, device);
  return {layout.blocks, layout.groups, layout.elements};
}

void register_gpu_matrix_cells(torch::stable::detail::StableLibrary& m) {
  register_matrix_cells<forward, backward>(m);
}

}  // namespace lrnn
