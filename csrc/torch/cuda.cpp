// The CUDA implementation of every operator but those of matrix cells and neurons: describes the
// call to the kernels, plans it, and launches it on torch's stream.
#include "cuda.h"

#include <string>

#include "../cuda/kernels.h"
#include "device.h"

namespace lrnn {
namespace {

// A call laid over the device, whichever engine runs it.
class Pass {
 public:
  Pass(const Call& call, const Gpu& gpu, bool backward) : call_(call), backward_(backward) {
    if (call.cell.sequential) {
      step_ = find_gpu_step_kernels(call.cell.name, call.storage);
      STD_TORCH_CHECK(step_.forward, call.cell.name, ": no CUDA kernel for this dtype");
      step_plan_ = make_gpu_step_plan(step_.problem(call.args, backward), gpu);
    } else {
      affine_ = find_gpu_kernels(call.cell.name, call.storage);
      STD_TORCH_CHECK(affine_.forward.launch, call.cell.name, ": no CUDA kernel for this dtype");
      affine_plan_ = make_gpu_plan(problem(), gpu);
    }
  }

  // Of partial sums.
  int64_t slots() const {
    const ScanArgs& args = call_.args;
    return args.B * (call_.cell.sequential ? step_plan_.chunks(args.T)
                                           : affine_plan_.chunks(args.T) * affine_plan_.groups);
  }

  void launch(const DeviceScope& device) const {
    const ScanArgs& args = call_.args;
    if (call_.cell.sequential) {
      const Tensor workspace =
          new_workspace(backward_ ? step_.workspace_bytes(args, step_plan_) : 0);
      check_launch(backward_ ? step_.backward(args, step_plan_, workspace.mutable_data_ptr(),
                                              device.stream())
                             : step_.forward(args, step_plan_, device.stream()),
                   call_.cell.name);
    } else {
      const Tensor workspace = new_workspace(affine_.workspace_bytes(args, affine_plan_));
      const GpuPass& pass = backward_ ? affine_.backward : affine_.forward;
      check_launch(pass.launch(args, affine_plan_, workspace.mutable_data_ptr(), device.stream()),
                   call_.cell.name);
    }
  }

  // The affine map over all of the time, (scale, offset).
  std::tuple<Tensor, Tensor> map(const DeviceScope& device) const {
    const ScanArgs& args = call_.args;
    const Tensor scale = new_contiguous({args.B, call_.state_channels()}, call_.carry),
                 offset = new_contiguous({args.B, call_.state_channels()}, call_.carry),
                 workspace = new_workspace(affine_.map_workspace(args, affine_plan_));
    const GpuPass& pass = backward_ ? affine_.backward : affine_.forward;
    check_launch(pass.map(args, affine_plan_, workspace.mutable_data_ptr(),
                          stream<void>(scale, call_.scalars, args.C),
                          stream<void>(offset, call_.scalars, args.C), device.stream()),
                 call_.cell.name);
    return {scale, offset};
  }

  // Adds up the partial sums of a gradient like the given tensor: of each batch element where that
  // has one row for each, else of all.
  Tensor reduced(const DeviceScope& device, const double* sums, int64_t slot_stride, int64_t planes,
                 bool interleaved, const Tensor& like) const {
    const Tensor out = new_gradient(call_, like);
    const int64_t groups = like.dim() == 2 ? call_.args.B : 1;
    if (groups == 0) return out;
    const Sums all{sums, slot_stride, groups, slots() / groups, call_.args.C, planes, interleaved};
    const auto reduce = call_.cell.sequential ? step_.reduce : affine_.reduce;
    check_launch(reduce(all, out.mutable_data_ptr(), device.stream()), call_.cell.name);
    return out;
  }

  // Lanes and groups of a block, steps per chunk, blocks.
  std::vector<int64_t> layout() const {
    const ScanArgs& args = call_.args;
    if (call_.cell.sequential)
      return {step_plan_.threads, 1, step_plan_.chunk,
              step_plan_.blocks * step_plan_.chunks(args.T)};
    const int64_t lanes = problem().lanes,
                  blocks = (lanes + affine_plan_.lanes - 1) / affine_plan_.lanes;
    return {affine_plan_.lanes, affine_plan_.groups, affine_plan_.chunk,
            blocks * affine_plan_.chunks(args.T)};
  }

 private:
  GpuProblem problem() const {
    return affine_.problem(call_.args, backward_ ? affine_.backward : affine_.forward);
  }
  static Tensor new_workspace(int64_t bytes) { return new_contiguous({bytes}, ScalarType::Byte); }

  const Call& call_;
  const bool backward_;
  GpuKernels affine_;
  GpuStepKernels step_;
  GpuPlan affine_plan_{};
  GpuStepPlan step_plan_{};
};

std::tuple<Tensor, Tensor, Tensor> forward(const CellInfo& cell, const Tensors& inputs,
                                           const Tensors& params,
                                           const std::vector<double>& options, const Optional& h0,
                                           const Optional& reset, const Optional& h_reset,
                                           bool reverse, bool save) {
  STD_TORCH_CHECK(!inputs.empty(), cell.name, ": got no inputs");
  const DeviceScope device(inputs[0]);
  Call call(cell, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  const Outputs out(call, save);
  Pass(call, device.gpu(), false).launch(device);
  return {out.y, out.h_last, out.saved};
}

Tensors backward(const CellInfo& cell, const Tensors& inputs, const Tensors& params,
                 const std::vector<double>& options, const Optional& h0, const Optional& reset,
                 const Optional& h_reset, bool reverse, const Optional& states, const Optional& dy,
                 const Optional& dh_last) {
  STD_TORCH_CHECK(!inputs.empty(), cell.name, ": got no inputs");
  const DeviceScope device(inputs[0]);
  Call call(cell, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const Gradients gradients(call, states, dy, dh_last);

  const Pass pass(call, device.gpu(), true);
  const SumRows rows(call);
  const Tensor param_sums = new_zeros({pass.slots(), rows.params}, ScalarType::Double);
  const Tensor reset_sums = new_zeros({pass.slots(), rows.reset}, ScalarType::Double);
  args.dparams = static_cast<double*>(param_sums.mutable_data_ptr());
  args.dreset = call.h_reset ? static_cast<double*>(reset_sums.mutable_data_ptr()) : nullptr;
  pass.launch(device);

  Tensors result = gradients.inputs;
  for (int i = 0; i < cell.params; ++i)
    result.push_back(pass.reduced(device, args.dparams + i * rows.param, rows.params, call.planes,
                                  call.planes == 2, call.params[i]));
  result.push_back(gradients.dh0);
  result.push_back(call.h_reset
                       ? pass.reduced(device, args.dreset, rows.reset, call.planes * cell.states,
                                      call.scalars == 2, *call.h_reset)
                       : new_contiguous({0}, call.carry));
  return result;
}

std::tuple<Tensor, Tensor> map(const CellInfo& cell, const Tensors& inputs, const Tensors& params,
                               const std::vector<double>& options, const Optional& reset,
                               const Optional& h_reset, bool reverse, bool backward,
                               const Optional& given_dy) {
  STD_TORCH_CHECK(!inputs.empty(), cell.name, ": got no inputs");
  const DeviceScope device(inputs[0]);
  Call call(cell, inputs, params, options, reverse);
  call.set_states(std::nullopt, reset, h_reset);
  const Tensor dy = set_dy(call, given_dy);
  return Pass(call, device.gpu(), backward).map(device);
}

std::vector<int64_t> plan_op(std::string cell, Tensors inputs, Tensors params, bool backward,
                             std::vector<double> options) {
  const size_t index = cell_index(cell.c_str());
  STD_TORCH_CHECK(index < kCellCount && !inputs.empty(), "no cell is named ", cell,
                  ", or it got no inputs");
  if (find_gpu_matrix_kernels(cell.c_str(), Storage::f32).forward)
    return gpu_matrix_layout(index, inputs);
  const DeviceScope device(inputs[0]);
  if (options.empty()) options = {0};
  const Call call(cell_info(index), inputs, params, options, false);
  return Pass(call, device.gpu(), backward).layout();
}

}  // namespace

void register_gpu_operators(torch::stable::detail::StableLibrary& m) {
  register_cells<forward, backward>(m);
  register_maps<map>(m);
  register_gpu_matrix_cells(m);
  register_gpu_population(m);
  m.impl("plan", TORCH_BOX(&plan_op));
}

}  // namespace lrnn

// What lrnn_kernels asks without tensors, through ctypes.
extern "C" {
int lrnn_gpu_serves(const char* cell) {
  using lrnn::Storage;
  return lrnn::find_gpu_kernels(cell, Storage::f32).channels != 0 ||
         lrnn::find_gpu_step_kernels(cell, Storage::f32).channels != 0 ||
         lrnn::find_gpu_matrix_kernels(cell, Storage::f32).forward != nullptr;
}
// The channels of the widest matrix cell.
int64_t lrnn_gpu_matrix_limit() { return lrnn::kGpuMatrixChannels; }
}
