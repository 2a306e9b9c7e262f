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
#include "operator.h"

namespace lrnn {
namespace {

// A forward pass of fewer rows than this takes the matrices as they lie.
constexpr int64_t kRowsWorthPacking = 32;

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
  const Call call(info, inputs, {}, {}, false);
  const MatrixKernels kernels = find_matrix_kernels(cell, call.storage);
  STD_TORCH_CHECK(kernels.forward, info.name,
                  ": no CPU kernel for this dtype, or none for this processor (or LRNN_ISA)");
  return kernels;
}

// One pass of an operator: its tasks, and what they share.
struct Pass {
  const MatrixKernels& kernels;
  const MatrixCall& call;
  const bool backward;
  MatrixArgs matrices;
  std::unique_ptr<Block> packed;

  Pass(const MatrixKernels& kernels, const MatrixCall& call, bool backward)
      : kernels(kernels), call(call), backward(backward) {
    const ScanArgs& args = call.args;
    for (int i = 0; i < call.info.terms; ++i) matrices.blocks[i] = call.block(i);
    if (!backward && args.B * args.T < kRowsWorthPacking) return;
    packed = std::make_unique<Block>(kernels.packed_bytes(args.C, backward));
    const auto pack = [&](int64_t i) {
      kernels.pack(matrices, args.C, backward, static_cast<int>(i), packed->data);
    };
    if (parts() > 1)
      parallel_for(call.info.terms, pack);
    else
      for (int i = 0; i < call.info.terms; ++i) pack(i);
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
    const int64_t bytes = kernels.memory_bytes((B + n - 1) / n, call.args.C, backward);
    const Block memory(n * bytes);
    parallel_for(n, [&](int64_t i) {
      run(i, MatrixTask{B * i / n, B * (i + 1) / n, memory.data + i * bytes});
    });
  }
};

std::tuple<Tensor, Tensor, Tensor> run_forward(Watch& watch, size_t cell, const Tensors& inputs,
                                               const Tensors& params, const Optional& h0,
                                               const Optional& reset, const Optional& h_reset,
                                               bool reverse, bool save) {
  const MatrixKernels kernels = kernels_of(cell, inputs);
  MatrixCall call(cell_info(cell), kernels.info, inputs, params, reverse);
  call.set_states(h0, reset, h_reset);
  const Outputs made(call, false);
  const Tensor saved = call.new_saved(save);
  if (save) call.args.saved = stream<void>(saved, 1, call.args.C);
  const Pass pass(kernels, call, false);
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

// What the parts of a batch have added to gradients that they share, each for itself.
struct Sums {
  std::vector<std::unique_ptr<Block>> matrices, params;

  explicit Sums(int64_t parts) : matrices(parts), params(parts) {}
  // Makes those of a part: by the thread that adds to them.
  void begin(int64_t part, MatrixTask& task, int64_t matrix_bytes, int64_t param_bytes) {
    matrices[part] = std::make_unique<Block>(matrix_bytes);
    params[part] = std::make_unique<Block>(param_bytes);
    matrices[part]->clear();
    params[part]->clear();
    task.dmatrices = matrices[part]->data;
    task.dparams = reinterpret_cast<double*>(params[part]->data);
  }
  // All of them in those of the first part, in their order.
  template <class R>
  void join() {
    for (size_t i = 1; i < matrices.size(); ++i) {
      add<R>(matrices[0]->data, matrices[i]->data, matrices[0]->bytes / sizeof(R));
      add<double>(params[0]->data, params[i]->data, params[0]->bytes / sizeof(double));
    }
  }
};

template <class R>
Tensors backward_of(Watch& watch, const MatrixKernels& kernels, MatrixCall& call,
                    const Optional& states, const Optional& dy, const Optional& dh_last) {
  ScanArgs& args = call.args;
  const int64_t C = args.C, row = kernels.row(C);
  const Tensor saved = call.saved(states);
  args.states = stream<const void>(saved, 1, C);
  const Gradients gradients(call, {}, dy, dh_last);
  const int64_t width = call.state_channels();
  Tensor dreset = new_zeros({call.h_reset ? args.B : 0, width}, call.carry);
  const Pass pass(kernels, call, true);
  Sums sums(pass.parts());
  pass.over_batch([&](int64_t part, MatrixTask task) {
    sums.begin(part, task, call.info.terms * C * row * sizeof(R),
               call.info.params * row * sizeof(double));
    task.dreset = call.h_reset ? dreset.mutable_data_ptr() : nullptr;
    kernels.backward(args, pass.matrices, task, watch);
  });
  if (watch.stopped()) throw Interrupted();
  sums.join<R>();

  Tensors result = gradients.inputs;
  const R* dw = reinterpret_cast<const R*>(sums.matrices[0]->data);
  for (const Tensor& w : call.matrices) {
    result.push_back(new_contiguous({w.size(0), C}, call.carry));
    copy_rows<R>(dw, row, result.back(), C);
    dw += w.size(0) * row;
  }
  const auto* dp = reinterpret_cast<const double*>(sums.params[0]->data);
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

std::tuple<Tensor, Tensor, Tensor> forward(size_t cell, const Tensors& inputs,
                                           const Tensors& params, const Optional& h0,
                                           const Optional& reset, const Optional& h_reset,
                                           bool reverse, bool save) {
  return run_operator(cell_info(cell).name, "", [&](Watch& watch) {
    return run_forward(watch, cell, inputs, params, h0, reset, h_reset, reverse, save);
  });
}

Tensors backward(size_t cell, const Tensors& inputs, const Tensors& params, const Optional& h0,
                 const Optional& reset, const Optional& h_reset, bool reverse,
                 const Optional& states, const Optional& dy, const Optional& dh_last) {
  return run_operator(cell_info(cell).name, "_backward", [&](Watch& watch) {
    const MatrixKernels kernels = kernels_of(cell, inputs);
    MatrixCall call(cell_info(cell), kernels.info, inputs, params, reverse);
    call.set_states(h0, reset, h_reset);
    const auto of = call.carry == ScalarType::Double ? backward_of<double> : backward_of<float>;
    return of(watch, kernels, call, states, dy, dh_last);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) { register_matrix_cells<forward, backward>(m); }

}  // namespace lrnn
