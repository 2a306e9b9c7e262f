// The nBRC on the CPU: neither an affine nor an elementwise recurrence, but one matrix product a
// step and a fused row kernel around it.
//
//   a = 1 + tanh(p_a + W_a h'),  c = sigmoid(p_c + W_c h'),  h = c h' + (1-c) tanh(p_h + a h')
//
// The batch is shared out over the threads, each of which runs all of time by itself: its products
// stay single-threaded, and no thread waits for another. Both recurrent matrices are one, [W_a;
// W_c], so a step takes one product forward and one backward. The weights' gradients are products
// over many steps, gathered in a buffer of a bounded size.
#include <string.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <memory>

#include "../cpu/nbrc.h"
#include "call_nbrc.h"
#include "operator.h"

namespace lrnn {
namespace {

// Rows of states and gate gradients gathered before they are multiplied into the weights' gradient.
constexpr int64_t kGathered = 512;

// A matrix of the carry type, in memory of its own, with products through torch's BLAS.
struct Matrix {
  Tensor tensor;
  char* data;
  int64_t row_bytes;

  Matrix(int64_t rows, int64_t columns, ScalarType type)
      : tensor(new_contiguous({rows, columns}, type)),
        data(static_cast<char*>(tensor.mutable_data_ptr())),
        row_bytes(columns * scalar_bytes(type)) {}

  char* row(int64_t i) const { return data + i * row_bytes; }
  void clear() { memset(data, 0, tensor.size(0) * row_bytes); }
};

void multiply(const Tensor& out, const Tensor& x, const Tensor& w) {
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(out.get(), x.get(), w.get()));
}
void multiply_add(const Tensor& out, const Tensor& x, const Tensor& w) {
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_cpu_addmm_out(out.get(), out.get(), x.get(), w.get(), 1.0, 1.0));
}

// [W_a; W_c], (2C,C).
Matrix stacked(const Call& call, const Tensors& params) {
  const int64_t C = call.args.C;
  Matrix w(2 * C, C, call.carry);
  const Tensors matrices = nbrc_matrices(call, params);
  for (int i = 0; i < 2; ++i) memcpy(w.row(i * C), matrices[i].const_data_ptr(), C * w.row_bytes);
  return w;
}

// The parts that the batch is split into, one a thread; small problems run as one, whose products
// may then use all threads.
int64_t parts(const Call& call) {
  const int64_t threads = torch::stable::get_num_threads();
  const double flops = 4.0 * call.args.C * call.args.C * call.args.B;
  return flops > 0x1p18 ? std::max<int64_t>(1, std::min(call.args.B, threads)) : 1;
}

template <class Work>
void over_batch(const Call& call, Work&& work) {
  const int64_t B = call.args.B, n = parts(call);
  parallel_for(n, [&](int64_t i) { work(i, B * i / n, B * (i + 1) / n); });
}

// What a step of so many batch elements takes, in the watch's elements.
int64_t step_work(int64_t batch, int64_t C) {
  constexpr int64_t kProducts = 16;  // a nanosecond
  return batch * C * (8 + C / kProducts);
}

// The address of a stream's row.
template <class Void>
Void* at(const Stream<Void>& x, int64_t b, int64_t t, int64_t bytes) {
  using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
  return static_cast<Byte*>(x.data) + (b * x.stride_b + t * x.stride_t) * bytes;
}

// h0, or h_reset, of batch elements [b0, b1) in rows.
void load_states(const Call& call, const Optional& states, int64_t b0, int64_t b1, Matrix& rows) {
  if (!states) return rows.clear();
  const int64_t stride = states->dim() == 2 ? states->stride(0) * scalar_bytes(call.carry) : 0;
  const auto* from = static_cast<const char*>(states->const_data_ptr());
  for (int64_t b = b0; b < b1; ++b) memcpy(rows.row(b - b0), from + b * stride, rows.row_bytes);
}

bool is_reset(const ScanArgs& args, int64_t b, int64_t t) {
  return args.reset.data && args.reset.data[b * args.reset.stride_b + t * args.reset.stride_t];
}

NbrcKernels kernels_of(const Call& call) {
  const NbrcKernels kernels = find_nbrc_kernels(call.storage);
  STD_TORCH_CHECK(kernels.forward,
                  "nbrc: no CPU kernel for this dtype, or none for this processor (or LRNN_ISA)");
  return kernels;
}

std::tuple<Tensor, Tensor, Tensor> run_forward(Watch& watch, const Tensors& inputs,
                                               const Tensors& params, const Optional& h0,
                                               const Optional& reset, const Optional& h_reset,
                                               bool reverse, bool save) {
  Call call(kNbrc, inputs, {}, {}, reverse);
  call.set_states(h0, reset, h_reset);
  const ScanArgs& args = call.args;
  const NbrcKernels kernels = kernels_of(call);
  const int64_t C = args.C, bytes = scalar_bytes(call.type);
  const Matrix w = stacked(call, params);
  const Tensor to_gates = torch::stable::transpose(w.tensor, 0, 1);

  const Outputs made(call, false);
  const Tensor saved = nbrc_new_saved(call, save);
  const Output kept = save ? stream<void>(saved, 1, C) : Output{};
  over_batch(call, [&](int64_t, int64_t b0, int64_t b1) {
    Matrix h(b1 - b0, C, call.carry), recurrent(b1 - b0, 2 * C, call.carry),
        at_reset(b1 - b0, C, call.carry);
    load_states(call, call.h0, b0, b1, h);
    load_states(call, call.h_reset, b0, b1, at_reset);
    for (int64_t s = 0; s < args.T && watch.go_on(step_work(b1 - b0, C)); ++s) {
      const int64_t t = reverse ? args.T - 1 - s : s;
      for (int64_t b = b0; b < b1; ++b)
        if (is_reset(args, b, t)) memcpy(h.row(b - b0), at_reset.row(b - b0), h.row_bytes);
      if (b1 > b0) multiply(recurrent.tensor, h.tensor, to_gates);
      for (int64_t b = b0; b < b1; ++b)
        kernels.forward({C, at(args.inputs[0], b, t, bytes), at(args.inputs[1], b, t, bytes),
                         at(args.inputs[2], b, t, bytes), recurrent.row(b - b0), h.row(b - b0),
                         at(args.y, b, t, bytes),
                         save ? at(kept, b, t, scalar_bytes(call.carry)) : nullptr});
    }
    if (b1 > b0)
      memcpy(static_cast<char*>(made.h_last.mutable_data_ptr()) + b0 * h.row_bytes, h.data,
             (b1 - b0) * h.row_bytes);
  });
  if (watch.stopped()) throw Interrupted();
  return {made.y, made.h_last, saved};
}

// The rows that a part of the batch has gathered of states and of gate gradients, and the weights'
// gradient they go into.
struct Gathered {
  Matrix before, dgates, dw;
  int64_t capacity, rows = 0;

  Gathered(int64_t batch, int64_t C, ScalarType type)
      : before(std::max(batch, kGathered / std::max<int64_t>(batch, 1) * batch), C, type),
        dgates(before.tensor.size(0), 2 * C, type),
        dw(2 * C, C, type),
        capacity(before.tensor.size(0)) {
    dw.clear();
  }
  void flush() {
    if (rows == 0) return;
    const Tensor d =
        torch::stable::transpose(torch::stable::narrow(dgates.tensor, 0, 0, rows), 0, 1);
    multiply_add(dw.tensor, d, torch::stable::narrow(before.tensor, 0, 0, rows));
    rows = 0;
  }
};

template <class R>
void add(void* to, const void* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) static_cast<R*>(to)[i] += static_cast<const R*>(from)[i];
}

Tensors run_backward(Watch& watch, const Tensors& inputs, const Tensors& params, const Optional& h0,
                     const Optional& reset, const Optional& h_reset, bool reverse,
                     const Optional& states, const Optional& dy, const Optional& dh_last) {
  Call call(kNbrc, inputs, {}, {}, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const NbrcKernels kernels = kernels_of(call);
  const int64_t B = args.B, T = args.T, C = args.C, bytes = scalar_bytes(call.type),
                carry_bytes = scalar_bytes(call.carry);
  const Matrix w = stacked(call, params);
  const Tensor kept_states = nbrc_saved(call, states);
  const Input saved = stream<const void>(kept_states, 1, C);
  const Gradients gradients(call, {}, dy, dh_last);
  Matrix dreset(call.h_reset ? B : 0, C, call.carry);
  dreset.clear();
  const auto add_row = call.carry == ScalarType::Double ? add<double> : add<float>;
  std::vector<std::unique_ptr<Gathered>> gathered(parts(call));
  over_batch(call, [&](int64_t part, int64_t b0, int64_t b1) {
    const int64_t n = b1 - b0;
    gathered[part] = std::make_unique<Gathered>(n, C, call.carry);
    Gathered& sums = *gathered[part];
    Matrix adjoint(n, C, call.carry), through(n, C, call.carry);
    load_states(call, gradients.dh_last, b0, b1, adjoint);
    through.clear();
    for (int64_t s = T - 1; n > 0 && s >= 0 && watch.go_on(step_work(n, C)); --s) {
      const int64_t t = reverse ? T - 1 - s : s;
      if (sums.rows + n > sums.capacity) sums.flush();
      for (int64_t b = b0; b < b1; ++b) {
        const void* const kept = at(saved, b, t, carry_bytes);
        memcpy(sums.before.row(sums.rows + b - b0),
               static_cast<const char*>(kept) + 2 * C * carry_bytes, C * carry_bytes);
        kernels.backward({C, at(args.inputs[2], b, t, bytes), kept, at(args.dy, b, t, bytes),
                          adjoint.row(b - b0), through.row(b - b0),
                          sums.dgates.row(sums.rows + b - b0), at(args.dinputs[0], b, t, bytes),
                          at(args.dinputs[1], b, t, bytes), at(args.dinputs[2], b, t, bytes)});
      }
      multiply(through.tensor, torch::stable::narrow(sums.dgates.tensor, 0, sums.rows, n),
               w.tensor);
      sums.rows += n;
      for (int64_t b = b0; b < b1; ++b)
        if (is_reset(args, b, t)) {
          if (call.h_reset) {
            add_row(dreset.row(b), adjoint.row(b - b0), C);
            add_row(dreset.row(b), through.row(b - b0), C);
          }
          memset(adjoint.row(b - b0), 0, adjoint.row_bytes);
          memset(through.row(b - b0), 0, through.row_bytes);
        }
    }
    for (int64_t i = 0; i < n; ++i) add_row(adjoint.row(i), through.row(i), C);
    if (n > 0)
      memcpy(static_cast<char*>(gradients.dh0.mutable_data_ptr()) + b0 * adjoint.row_bytes,
             adjoint.data, n * adjoint.row_bytes);
    sums.flush();
  });
  if (watch.stopped()) throw Interrupted();

  Tensors result = gradients.inputs;
  Matrix dw(2 * C, C, call.carry);
  dw.clear();
  for (const auto& sums : gathered) add_row(dw.data, sums->dw.data, 2 * C * C);
  for (int i = 0; i < 2; ++i) {
    result.push_back(new_contiguous({C, C}, call.carry));
    memcpy(result.back().mutable_data_ptr(), dw.row(i * C), C * dw.row_bytes);
  }
  result.push_back(gradients.dh0);
  if (call.h_reset && call.h_reset->dim() == 2) {
    result.push_back(dreset.tensor);
  } else {
    result.push_back(new_contiguous({call.h_reset ? C : 0}, call.carry));
    if (call.h_reset) {
      memset(result.back().mutable_data_ptr(), 0, dreset.row_bytes);
      for (int64_t b = 0; b < B; ++b) add_row(result.back().mutable_data_ptr(), dreset.row(b), C);
    }
  }
  return result;
}

std::tuple<Tensor, Tensor, Tensor> forward(Tensors inputs, Tensors params, std::vector<double>,
                                           Optional h0, Optional reset, Optional h_reset,
                                           bool reverse, bool save) {
  return run_operator("nbrc", "", [&](Watch& watch) {
    return run_forward(watch, inputs, params, h0, reset, h_reset, reverse, save);
  });
}

Tensors backward(Tensors inputs, Tensors params, std::vector<double>, Optional h0, Optional reset,
                 Optional h_reset, bool reverse, Optional states, Optional dy, Optional dh_last) {
  return run_operator("nbrc", "_backward", [&](Watch& watch) {
    return run_backward(watch, inputs, params, h0, reset, h_reset, reverse, states, dy, dh_last);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
  m.impl("nbrc", TORCH_BOX(&forward));
  m.impl("nbrc_backward", TORCH_BOX(&backward));
}

}  // namespace lrnn
