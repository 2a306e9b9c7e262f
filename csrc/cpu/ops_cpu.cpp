// The CPU implementation of every operator but the nBRC's: describes the call to the kernels, plans it, and runs it on torch's threads.
#include <string>

#include "call.h"

namespace lrnn {
namespace {

void parallel_for(int64_t count, void (*work)(void*, int64_t), void* context) {
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(context, i);
  });
}

Kernels kernels_of(size_t index, const Call& call) {
  const Kernels kernels = find_kernels(index, call.storage);
  STD_TORCH_CHECK(kernels.forward, call.cell.name, ": no CPU kernel for this dtype");
  return kernels;
}

std::tuple<Tensor, Tensor, Tensor> forward(size_t index, const Tensors& inputs, const Tensors& params, const std::vector<double>& options,
                                           const Optional& h0, const Optional& reset, const Optional& h_reset, bool reverse, bool save) {
  Call call(kCells[index], inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const Plan plan = call.forward_plan(save);

  const Tensor y = new_rows(args.B, args.T, call.channels(), call.time_major, call.type);
  const Tensor h_last = new_contiguous({args.B, call.state_channels()}, call.carry);
  args.y = stream<void>(y, call.scalars, args.C);
  args.h_last = stream<void>(h_last, call.scalars, args.C);

  const bool bits = save && call.cell.saves == Saves::bits, steps = save && call.cell.saves == Saves::steps;
  const int64_t words = (args.T + 31) / 32, chunks = plan.chunks(args.T);
  const Tensor saved =
      steps ? new_contiguous(call.saved_sizes(), call.carry)
            : new_contiguous(bits ? std::vector<int64_t>{args.B, words + 1, args.C} : std::vector<int64_t>{0}, ScalarType::Int);
  if (steps) args.saved = {saved.mutable_data_ptr(), saved.stride(0), saved.stride(2), saved.stride(1)};
  std::vector<int32_t> first_writes;
  if (bits) {
    args.bits = {static_cast<int32_t*>(saved.mutable_data_ptr()), saved.stride(0), saved.stride(1), 0};
    first_writes.resize(args.B * chunks * args.C);
    args.first_writes = first_writes.data();
  }
  args.nontemporal = plan.nontemporal && Call::on_lines(args.y) && Call::on_lines(args.saved);
  run_forward(kernels_of(index, call), args, plan, call.carry_row(), parallel_for);

  if (bits)  // the earliest piece that wrote a channel
    for (int64_t b = 0; b < args.B; ++b) {
      int32_t* const row = args.bits.data + b * args.bits.stride_b + words * args.bits.stride_t;
      for (int64_t c = 0; c < args.C; ++c) row[c] = first_writes[b * chunks * args.C + c];
      for (int64_t chunk = 1; chunk < chunks; ++chunk)
        for (int64_t c = 0; c < args.C; ++c) row[c] = std::min(row[c], first_writes[(b * chunks + chunk) * args.C + c]);
    }
  return {y, h_last, saved};
}

// Adds the partial sums of the slots in a fixed order, per batch element where out is (B,C), into real or complex out.
template <class R>
void reduce_slots(const double* sums, int64_t slot_stride, int64_t B, int64_t chunks, int64_t C, int64_t planes, bool interleaved,
                  const Tensor& out) {
  const int64_t groups = out.dim() == 2 ? B : 1, slots = out.dim() == 2 ? chunks : B * chunks;
  R* p = static_cast<R*>(out.mutable_data_ptr());
  std::vector<double> total(planes * C);
  for (int64_t group = 0; group < groups; ++group, p += planes * C) {
    std::fill(total.begin(), total.end(), 0.0);
    for (int64_t slot = 0; slot < slots; ++slot)
      for (int64_t i = 0; i < planes * C; ++i) total[i] += sums[(group * slots + slot) * slot_stride + i];
    for (int64_t plane = 0; plane < planes; ++plane)
      for (int64_t c = 0; c < C; ++c) p[interleaved ? planes * c + plane : plane * C + c] = R(total[plane * C + c]);
  }
}

Tensor reduced(const Call& call, const double* sums, int64_t slot_stride, int64_t chunks, const Tensor& like, int64_t planes,
               bool interleaved) {
  const int64_t last = like.size(like.dim() - 1);
  const Tensor out =
      new_contiguous(like.dim() == 2 ? std::vector<int64_t>{call.args.B, last} : std::vector<int64_t>{last}, like.scalar_type());
  const bool single = call.carry == ScalarType::Float || call.carry == ScalarType::ComplexFloat;
  (single ? reduce_slots<float> : reduce_slots<double>)(sums, slot_stride, call.args.B, chunks, call.args.C, planes, interleaved, out);
  return out;
}

Tensors backward(size_t index, const Tensors& inputs, const Tensors& params, const std::vector<double>& options, const Optional& h0,
                 const Optional& reset, const Optional& h_reset, bool reverse, const Optional& states_, const Optional& dy_,
                 const Optional& dh_last_) {
  Call call(kCells[index], inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const Plan plan = call.backward_plan();
  const int64_t width = call.channels(), state_width = call.state_channels();

  Optional states, dy, dh_last;
  if (call.cell.saves != Saves::nothing) {
    STD_TORCH_CHECK(states_, call.cell.name, "_backward: states are needed");
    std::vector<int64_t> sizes{args.B, args.T, width};
    ScalarType type = call.type;
    if (call.cell.saves == Saves::bits) {
      sizes = {args.B, (args.T + 31) / 32 + 1, args.C};
      type = ScalarType::Int;
    } else if (call.cell.saves == Saves::steps) {
      sizes = call.saved_sizes();
      type = call.carry;
    }
    bool fits = states_->dim() == static_cast<int64_t>(sizes.size()) && states_->scalar_type() == type;
    for (size_t d = 0; fits && d < sizes.size(); ++d) fits = states_->size(d) == sizes[d];
    STD_TORCH_CHECK(fits, call.cell.name, "_backward: states must be ", call.cell.saves == Saves::output ? "y" : "what was saved",
                    " of the forward pass");
    states = unit_rows(*states_);
    if (call.cell.saves == Saves::bits)
      args.saved_bits = {static_cast<const int32_t*>(states->const_data_ptr()), states->stride(0), states->stride(1), 0};
    else if (call.cell.saves == Saves::steps)
      args.states = {states->const_data_ptr(), states->stride(0), states->stride(2), states->stride(1)};
    else
      args.states = stream<const void>(*states, call.scalars, args.C);
  }
  if (dy_) {
    STD_TORCH_CHECK(
        dy_->dim() == 3 && dy_->size(0) == args.B && dy_->size(1) == args.T && dy_->size(2) == width && dy_->scalar_type() == call.type,
        call.cell.name, "_backward: dy must have the shape and dtype of y");
    dy = unit_rows(*dy_);
    args.dy = stream<const void>(*dy, call.scalars, args.C);
  } else {  // one row of zeros that every step reads
    dy = new_contiguous({width}, call.type);
    memset(dy->mutable_data_ptr(), 0, width * scalar_bytes(call.type));
    args.dy = {dy->const_data_ptr(), 0, 0, args.C};
  }
  if (dh_last_) {
    STD_TORCH_CHECK(dh_last_->dim() == 2, call.cell.name, "_backward: dh_last must have 2 dimensions");
    dh_last = call.ends(*dh_last_, "dh_last", call.carry, state_width);
    args.dh_last = stream<const void>(*dh_last, call.scalars, args.C);
  }

  Tensors result;
  args.nontemporal = plan.nontemporal;
  const int64_t tensors = call.packed ? 1 : call.cell.inputs;
  for (int64_t i = 0; i < tensors; ++i) result.push_back(new_rows(args.B, args.T, call.inputs[i].size(2), call.time_major, call.type));
  for (int i = 0; i < call.cell.inputs; ++i) {
    args.dinputs[i] = stream<void>(result[call.packed ? 0 : i], call.scalars, args.C, call.packed ? i * args.C : 0);
    args.nontemporal = args.nontemporal && Call::on_lines(args.dinputs[i]);
  }
  const Tensor dh0 = new_contiguous({args.B, state_width}, call.carry);
  args.dh0 = stream<void>(dh0, call.scalars, args.C);

  const int64_t chunks = plan.chunks(args.T), row = call.planes * args.C, state_row = call.cell.states * row;
  const int64_t dparams_row = call.cell.params * row;
  std::vector<double> dparams(args.B * chunks * dparams_row), dreset(call.h_reset ? args.B * chunks * state_row : 0);
  args.dparams = dparams.data();
  args.dreset = call.h_reset ? dreset.data() : nullptr;
  run_backward(kernels_of(index, call), args, plan, call.carry_row(), parallel_for);

  for (int i = 0; i < call.cell.params; ++i)
    result.push_back(reduced(call, dparams.data() + i * row, dparams_row, chunks, call.params[i], call.planes, call.planes == 2));
  result.push_back(dh0);
  result.push_back(call.h_reset
                       ? reduced(call, dreset.data(), state_row, chunks, *call.h_reset, call.planes * call.cell.states, call.scalars == 2)
                       : new_contiguous({0}, call.carry));
  return result;
}

size_t cell_index(const std::string& name) {
  for (size_t i = 0; i < kCellCount; ++i)
    if (name == kCells[i].name) return i;
  STD_TORCH_CHECK(false, "no cell is named ", name);
  return 0;
}

std::vector<int64_t> plan(std::string cell, Tensors inputs, Tensors params, bool backward, std::vector<double> options) {
  if (options.empty()) options = {0};
  Call call(kCells[cell_index(cell)], inputs, params, options, false);
  const Plan plan = backward ? call.backward_plan() : call.forward_plan(true);
  return {plan.threads, plan.block, plan.chunk, plan.nontemporal};
}

// The dispatcher wants one plain function per operator.
template <size_t kCell>
std::tuple<Tensor, Tensor, Tensor> forward_op(Tensors inputs, Tensors params, std::vector<double> options, Optional h0, Optional reset,
                                              Optional h_reset, bool reverse, bool save) {
  return forward(kCell, inputs, params, options, h0, reset, h_reset, reverse, save);
}
template <size_t kCell>
Tensors backward_op(Tensors inputs, Tensors params, std::vector<double> options, Optional h0, Optional reset, Optional h_reset,
                    bool reverse, Optional states, Optional dy, Optional dh_last) {
  return backward(kCell, inputs, params, options, h0, reset, h_reset, reverse, states, dy, dh_last);
}

#define LRNN_COUNT(name, Cell) +1
constexpr size_t kOperators = LRNN_AFFINE_CELLS(LRNN_COUNT) + 1 LRNN_STEP_CELLS(LRNN_COUNT);
#undef LRNN_COUNT

template <size_t... kCell>
void register_cells(torch::stable::detail::StableLibrary& m, std::index_sequence<kCell...>) {
  const auto add = [&](size_t cell, auto forward, auto backward) {
    m.impl(kCells[cell].name, forward);
    m.impl((std::string(kCells[cell].name) + "_backward").c_str(), backward);
  };
  (add(kCell, TORCH_BOX(&forward_op<kCell>), TORCH_BOX(&backward_op<kCell>)), ...);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
  register_cells(m, std::make_index_sequence<kOperators>());
  m.impl("plan", TORCH_BOX(&plan));
}

}  // namespace lrnn

// What lrnn_kernels reads and sets without tensors, through ctypes.
extern "C" {
const char* lrnn_isa() { return lrnn::kIsaNames[static_cast<int>(lrnn::chosen_isa())]; }
int lrnn_isa_available(int isa) { return lrnn::isa_available(static_cast<lrnn::Isa>(isa)); }
void lrnn_pool_stats(int64_t* out) {
  const auto s = lrnn::memory::stats();
  out[0] = s.in_use;
  out[1] = s.cached;
  out[2] = s.limit;
  out[3] = s.mapped_total;
}
void lrnn_pool_set_limit(int64_t bytes) { lrnn::memory::set_limit(bytes); }
void lrnn_pool_empty() { lrnn::memory::empty_cache(); }
void lrnn_pool_poison(int on) { lrnn::memory::set_poison(on != 0); }
}
