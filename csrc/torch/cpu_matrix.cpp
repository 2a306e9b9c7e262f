// Matrix cells on the CPU: neither affine nor elementwise recurrences, but one matrix product a
// step and what is elementwise around it, see cpu/engines/matrix.h.
//
// The batch is shared out over the threads, each of which runs all of time by itself: no thread
// waits for another. Both passes pack the matrices first.
#include <string.h>

#include <memory>

#include "../cpu/kernels.h"
#include "../cpu/matrix.h"
#include "call_matrix.h"
#include "cpu.h"
#include "operator.h"

namespace lrnn {
namespace {

// Memory of the operators' own, and its numbers.
struct Block {
  Tensor tensor;
  char* data;
  int64_t bytes;

  explicit Block(int64_t bytes)
      : tensor(new_contiguous({bytes}, ScalarType::Byte)),
        data(static_cast<char*>(tensor.mutable_data_ptr())),
        bytes(bytes) {}
  void clear() { memset(data, 0, bytes); }
};

MatrixKernels kernels_of(size_t cell, const Tensors& inputs) {
  const CellInfo& info = cell_info(cell);
  STD_TORCH_CHECK(!inputs.empty(), info.name, ": got no inputs");
  const MatrixKernels kernels =
      find_matrix_kernels(cell, storage_of(inputs[0].scalar_type(), false, info.name));
  STD_TORCH_CHECK(kernels.forward, info.name,
                  ": no CPU kernel for this dtype, or none for this processor (or LRNN_ISA)");
  return kernels;
}

// A call whose inputs are given.
struct PlainCall : MatrixCall {
  PlainCall(size_t cell, const MatrixKernels& kernels, const Tensors& inputs, const Tensors& params,
            bool reverse)
      : MatrixCall(cell_info(cell), kernels.info, inputs, params, reverse) {}

  Driven driven() const { return {}; }
  int64_t weight_rows() const { return 0; }
};

// One that takes the product of its inputs, too: inputs is x, (B,T,I), and before the other
// parameters come the weight, (nC,I), and the bias, (nC,), of the cell's n inputs.
struct WithOneInput {
  CellInfo one_input;
};
struct DrivenCall : WithOneInput, MatrixCall {
  Tensor weight, bias;

  DrivenCall(size_t cell, const MatrixKernels& kernels, const Tensors& x, const Tensors& params,
             bool reverse)
      : WithOneInput{of(cell_info(cell))}, MatrixCall(one_input, kernels.info, x, reverse) {
    const char* const name = this->cell.name;
    STD_TORCH_CHECK(kernels.drivable, name, ": no operator takes the product of its inputs");
    STD_TORCH_CHECK(params.size() > 2 && params[2].dim() == 2, name, ": parameters are missing");
    STD_TORCH_CHECK(type == carry, name, ": x must have the carry dtype");
    const int64_t channels = args.C;
    args.C = params[2].size(1);
    check_sizes();
    const int64_t rows = cell_info(cell).inputs * args.C;
    STD_TORCH_CHECK(
        params[0].dim() == 2 && params[0].size(0) == rows && params[0].size(1) == channels &&
            params[1].dim() == 1 && params[1].size(0) == rows && params[0].scalar_type() == carry &&
            params[1].scalar_type() == carry,
        name, ": expected a weight (", rows, ", ", channels, ") and a bias (", rows, ",)");
    for (int i = 0; i < 2; ++i) check_device(params[i], inputs[0], name);
    weight = without_gaps(params[0]);
    bias = without_gaps(params[1]);
    set_params(params, 2);
  }

  static CellInfo of(CellInfo info) {
    info.inputs = 1;
    return info;
  }

  Driven driven() const {
    Driven driven;
    driven.channels = weight.size(1);
    driven.x = stream<const void>(inputs[0], 1, 0);
    driven.dx = args.dinputs[0];
    driven.w = weight.const_data_ptr();
    driven.bias = bias.const_data_ptr();
    return driven;
  }
  int64_t weight_rows() const { return weight.size(0); }
};

// One pass of an operator: its tasks, and what they share.
struct Pass {
  const MatrixKernels& kernels;
  const MatrixCall& call;
  const bool backward;
  MatrixArgs matrices;
  std::unique_ptr<Block> packed;

  Pass(const MatrixKernels& kernels, const MatrixCall& call, const Driven& driven, bool backward)
      : kernels(kernels), call(call), backward(backward) {
    const ScanArgs& args = call.args;
    matrices.driven = driven;
    for (int i = 0; i < call.info.terms; ++i) matrices.blocks[i] = call.block(i);
    packed = std::make_unique<Block>(kernels.packed_bytes(args.C, driven.channels, backward));
    const int blocks = call.info.terms + (driven.channels ? 1 : 0);
    const auto pack = [&](int64_t i) {
      kernels.pack(matrices, args.C, backward, static_cast<int>(i), packed->data);
    };
    if (parts() > 1)
      parallel_for(blocks, pack);
    else
      for (int i = 0; i < blocks; ++i) pack(i);
    matrices.packed = packed->data;
  }

  // The parts that the batch is split into, one a thread; small problems are one.
  int64_t parts() const {
    const ScanArgs& args = call.args;
    const double work = static_cast<double>(args.B) * args.T * args.C *
                        (64.0 + static_cast<double>(call.info.terms) * args.C);
    if (work < 0x1p20) return 1;
    const int64_t threads = torch::stable::get_num_threads();
    return std::max<int64_t>(1, std::min(args.B, threads));
  }

  // Calls run(part, task) for every part of the batch.
  template <class Run>
  void over_batch(const Run& run) const {
    const int64_t B = call.args.B, n = parts();
    const int64_t bytes =
        kernels.memory_bytes((B + n - 1) / n, call.args.C, matrices.driven.channels, backward);
    const Block memory(n * bytes);
    parallel_for(n, [&](int64_t i) {
      run(i, MatrixTask{B * i / n, B * (i + 1) / n, memory.data + i * bytes});
    });
  }
};

template <class CallOf>
std::tuple<Tensor, Tensor, Tensor> run_forward(Watch& watch, const MatrixKernels& kernels,
                                               CallOf& call, bool save) {
  const Outputs made(call, false);
  const Tensor saved = call.new_saved(save);
  if (save) call.args.saved = stream<void>(saved, 1, call.args.C);
  const Pass pass(kernels, call, call.driven(), false);
  pass.over_batch([&](int64_t, const MatrixTask& task) {
    kernels.forward(call.args, pass.matrices, task, watch);
  });
  if (watch.stopped()) throw Interrupted();
  return {made.y, made.h_last, saved};
}

template <class R>
void add(char* to, const char* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    reinterpret_cast<R*>(to)[i] += reinterpret_cast<const R*>(from)[i];
}

// Rows of C numbers of sums, whose rows are longer, in a tensor.
template <class R, class From>
void copy_rows(const From* from, int64_t row, Tensor& to, int64_t C) {
  auto* const data = static_cast<R*>(to.mutable_data_ptr());
  const int64_t rows = C > 0 ? to.numel() / C : 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < C; ++c) data[i * C + c] = static_cast<R>(from[i * row + c]);
}

// A gradient that the parts of a batch add to, each to a sum of its own, as rows of T.
template <class T>
struct Sums {
  std::vector<std::unique_ptr<Block>> parts;
  int64_t rows, row;

  Sums(int64_t parts, int64_t rows, int64_t row) : parts(parts), rows(rows), row(row) {}
  // That of a part, at zero: made by the thread that adds to it.
  T* begin(int64_t part) {
    parts[part] = std::make_unique<Block>(rows * row * static_cast<int64_t>(sizeof(T)));
    parts[part]->clear();
    return reinterpret_cast<T*>(parts[part]->data);
  }
  // All of them in that of the first part, in their order.
  const T* join() {
    for (size_t i = 1; i < parts.size(); ++i) add<T>(parts[0]->data, parts[i]->data, rows * row);
    return reinterpret_cast<const T*>(parts[0]->data);
  }
};

template <class R, class CallOf>
Tensors run_backward(Watch& watch, const MatrixKernels& kernels, CallOf& call,
                     const Optional& states, const Optional& dy, const Optional& dh_last) {
  ScanArgs& args = call.args;
  const int64_t C = args.C, row = kernels.row(C);
  const Tensor saved = call.saved(states);
  args.states = stream<const void>(saved, 1, C);
  const Gradients gradients(call, {}, dy, dh_last);
  const Driven driven = call.driven();
  const int64_t width = call.state_channels(), channels = driven.channels,
                inputs = call.weight_rows();
  Tensor dreset = new_zeros({call.h_reset ? args.B : 0, width}, call.carry);
  const Pass pass(kernels, call, driven, true);
  Sums<R> dmatrices(pass.parts(), call.info.terms * C, row),
      dw(pass.parts(), inputs, kernels.row(channels));
  Sums<double> dparams(pass.parts(), call.info.params, row), dbias(pass.parts(), 1, inputs);
  pass.over_batch([&](int64_t part, MatrixTask task) {
    task.dmatrices = dmatrices.begin(part);
    task.dparams = dparams.begin(part);
    task.dw = dw.begin(part);
    task.dbias = dbias.begin(part);
    task.dreset = call.h_reset ? dreset.mutable_data_ptr() : nullptr;
    kernels.backward(args, pass.matrices, task, watch);
  });
  if (watch.stopped()) throw Interrupted();

  Tensors result = gradients.inputs;
  if (channels) {
    result.push_back(new_contiguous({inputs, channels}, call.carry));
    copy_rows<R>(dw.join(), dw.row, result.back(), channels);
    result.push_back(new_contiguous({inputs}, call.carry));
    copy_rows<R>(dbias.join(), inputs, result.back(), inputs);
  }
  const R* from = dmatrices.join();
  for (const Tensor& w : call.matrices) {
    result.push_back(new_contiguous({w.size(0), C}, call.carry));
    copy_rows<R>(from, row, result.back(), C);
    from += w.size(0) * row;
  }
  const double* const dp = dparams.join();
  for (int i = 0; i < call.info.params; ++i) {
    result.push_back(new_contiguous({C}, call.carry));
    copy_rows<R>(dp + i * row, row, result.back(), C);
  }
  result.push_back(gradients.dh0);
  if (!call.h_reset) {
    result.push_back(new_contiguous({0}, call.carry));
  } else if (call.h_reset->dim() == 2) {
    result.push_back(dreset);
  } else {
    result.push_back(new_zeros({width}, call.carry));
    auto* const total = static_cast<char*>(result.back().mutable_data_ptr());
    const auto* const rows = static_cast<const char*>(dreset.const_data_ptr());
    for (int64_t b = 0; b < args.B; ++b) add<R>(total, rows + b * width * sizeof(R), width);
  }
  return result;
}

template <class CallOf>
std::tuple<Tensor, Tensor, Tensor> forward(size_t cell, const Tensors& inputs,
                                           const Tensors& params, const Optional& h0,
                                           const Optional& reset, const Optional& h_reset,
                                           bool reverse, bool save) {
  return run_operator(cell_info(cell).name, "", [&](Watch& watch) {
    const MatrixKernels kernels = kernels_of(cell, inputs);
    CallOf call(cell, kernels, inputs, params, reverse);
    call.set_states(h0, reset, h_reset);
    return run_forward(watch, kernels, call, save);
  });
}

template <class CallOf>
Tensors backward(size_t cell, const Tensors& inputs, const Tensors& params, const Optional& h0,
                 const Optional& reset, const Optional& h_reset, bool reverse,
                 const Optional& states, const Optional& dy, const Optional& dh_last) {
  return run_operator(cell_info(cell).name, "_backward", [&](Watch& watch) {
    const MatrixKernels kernels = kernels_of(cell, inputs);
    CallOf call(cell, kernels, inputs, params, reverse);
    call.set_states(h0, reset, h_reset);
    const auto run = call.carry == ScalarType::Double ? run_backward<double, CallOf>
                                                      : run_backward<float, CallOf>;
    return run(watch, kernels, call, states, dy, dh_last);
  });
}

}  // namespace

std::optional<MatrixInfo> drivable(size_t cell) {
  const MatrixKernels kernels = find_matrix_kernels(cell, Storage::f32);
  return kernels.drivable ? std::optional(kernels.info) : std::nullopt;
}

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
  register_matrix_cells<forward<PlainCall>, backward<PlainCall>>(m);
  register_driven_cells<forward<DrivenCall>, backward<DrivenCall>>(m);
}

}  // namespace lrnn
