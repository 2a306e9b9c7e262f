// The CPU implementation of every operator but those of matrix cells: describes the call to the
// kernels, plans it, and runs it on torch's threads.
#include "cpu.h"

#include <inttypes.h>
#include <stdio.h>

#include <algorithm>
#include <string>

#include "../cpu/kernels.h"
#include "../cpu/memory.h"
#include "../cpu/run.h"
#include "call.h"
#include "operator.h"

namespace lrnn {
namespace {

void over_threads(int64_t count, void (*work)(void*, int64_t), void* context) {
  parallel_for(count, [=](int64_t i) { work(context, i); });
}

Kernels kernels_of(const Call& call) {
  const Kernels kernels = find_kernels(cell_index(call.cell.name), call.storage);
  STD_TORCH_CHECK(kernels.forward, call.cell.name,
                  ": no CPU kernel for this dtype, or none for this processor (or LRNN_ISA)");
  return kernels;
}

// The size of the last-level cache that one core sees. sysconf adds up all of a socket's caches on
// some processors.
int64_t last_level_cache() {
  int64_t kib = 0;
  if (FILE* const file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (fscanf(file, "%" SCNd64 "K", &kib) != 1) kib = 0;
    fclose(file);
  }
  return kib > 0 ? kib << 10 : int64_t{32} << 20;
}

Machine this_machine() {
  static const int64_t cache = last_level_cache();
  return {torch::stable::get_num_threads(), cache};
}

// A step of a nonlinear cell takes about a nanosecond an element, the time of some 20 bytes.
constexpr int64_t kStepCost = 20;

// moved: how many streams a pass reads and writes; saved: how many values of the carry type beside
// them.
Problem problem_of(const Call& call, int64_t moved, int64_t saved) {
  const int64_t value_bytes = scalar_bytes(call.type) * (call.split ? 2 : 1);
  const int64_t carry_bytes = scalar_bytes(call.carry) / call.scalars;
  Problem problem;
  problem.B = call.args.B;
  problem.T = call.args.T;
  problem.C = call.args.C;
  problem.channels_per_row = 4096 / carry_bytes;
  problem.step_bytes = problem.C * (moved * value_bytes + saved * carry_bytes);
  problem.aligned = problem.C * scalar_bytes(call.type) % 64 == 0;
  problem.sequential = call.cell.sequential;
  problem.cost_bytes = call.cell.sequential ? problem.C * kStepCost : 0;
  return problem;
}
Plan plan(const Call& call, int64_t moved, int64_t saved) {
  return make_plan(problem_of(call, moved, saved), this_machine());
}
Plan forward_plan(const Call& call, bool save) {
  return plan(call, call.cell.inputs + 1, save ? call.saved_per_step() : 0);
}
Plan backward_plan(const Call& call) {
  return plan(call, 2 * call.cell.inputs + 1 + (call.cell.saves == Saves::output ? 1 : 0),
              call.saved_per_step());
}

CarryType carry_row(const Call& call) {
  return {scalar_bytes(call.carry) * (call.split ? 2 : 1) * call.cell.states};
}

// Streamed stores need every row on a cache line.
bool on_lines(const Output& x) { return reinterpret_cast<uintptr_t>(x.data) % 64 == 0; }

}  // namespace

std::tuple<Tensor, Tensor, Tensor> run_forward_of(Watch& watch, const CellInfo& cell,
                                                  const Tensors& inputs, const Tensors& params,
                                                  const std::vector<double>& options,
                                                  const Optional& h0, const Optional& reset,
                                                  const Optional& h_reset, bool reverse,
                                                  bool save) {
  Call call(cell, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const Plan plan = forward_plan(call, save);
  const Outputs out(call, save);

  const bool bits = args.bits.data != nullptr;
  const int64_t words = (args.T + 31) / 32, chunks = plan.chunks(args.T);
  std::vector<int32_t> first_writes;
  if (bits) {
    first_writes = memory::array<int32_t>(args.B * chunks * args.C, static_cast<int32_t>(args.T));
    args.first_writes = first_writes.data();
  }
  args.nontemporal = plan.nontemporal && on_lines(args.y) && on_lines(args.saved);
  if (!run_forward(kernels_of(call), args, plan, carry_row(call), over_threads, watch))
    throw Interrupted();

  if (bits)  // the earliest piece that wrote a channel
    for (int64_t b = 0; b < args.B; ++b) {
      int32_t* const row = args.bits.data + b * args.bits.stride_b + words * args.bits.stride_t;
      for (int64_t c = 0; c < args.C; ++c) row[c] = first_writes[b * chunks * args.C + c];
      for (int64_t chunk = 1; chunk < chunks; ++chunk)
        for (int64_t c = 0; c < args.C; ++c)
          row[c] = std::min(row[c], first_writes[(b * chunks + chunk) * args.C + c]);
    }
  return {out.y, out.h_last, out.saved};
}

namespace {

// Adds the partial sums of the slots in a fixed order, per batch element where out is (B,C), into
// real or complex out.
template <class R>
void reduce_slots(const double* sums, int64_t slot_stride, int64_t B, int64_t chunks, int64_t C,
                  int64_t planes, bool interleaved, const Tensor& out) {
  const int64_t groups = out.dim() == 2 ? B : 1, slots = out.dim() == 2 ? chunks : B * chunks;
  R* p = static_cast<R*>(out.mutable_data_ptr());
  std::vector<double> total = memory::array<double>(planes * C);
  for (int64_t group = 0; group < groups; ++group, p += planes * C) {
    std::fill(total.begin(), total.end(), 0.0);
    for (int64_t slot = 0; slot < slots; ++slot)
      for (int64_t i = 0; i < planes * C; ++i)
        total[i] += sums[(group * slots + slot) * slot_stride + i];
    for (int64_t plane = 0; plane < planes; ++plane)
      for (int64_t c = 0; c < C; ++c)
        p[interleaved ? planes * c + plane : plane * C + c] = R(total[plane * C + c]);
  }
}

Tensor reduced(const Call& call, const double* sums, int64_t slot_stride, int64_t chunks,
               const Tensor& like, int64_t planes, bool interleaved) {
  const Tensor out = new_gradient(call, like);
  const bool single = call.carry == ScalarType::Float || call.carry == ScalarType::ComplexFloat;
  (single ? reduce_slots<float> : reduce_slots<double>)(sums, slot_stride, call.args.B, chunks,
                                                        call.args.C, planes, interleaved, out);
  return out;
}

Tensors run_backward_of(Watch& watch, const CellInfo& cell, const Tensors& inputs,
                        const Tensors& params, const std::vector<double>& options,
                        const Optional& h0, const Optional& reset, const Optional& h_reset,
                        bool reverse, const Optional& states, const Optional& dy,
                        const Optional& dh_last) {
  Call call(cell, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  const Plan plan = backward_plan(call);
  const Gradients gradients(call, states, dy, dh_last);
  args.nontemporal = plan.nontemporal;
  for (int i = 0; i < cell.inputs; ++i)
    args.nontemporal = args.nontemporal && on_lines(args.dinputs[i]);

  const int64_t chunks = plan.chunks(args.T);
  const SumRows rows(call);
  std::vector<double> dparams = memory::array<double>(args.B * chunks * rows.params);
  std::vector<double> dreset = memory::array<double>(args.B * chunks * rows.reset);
  args.dparams = dparams.data();
  args.dreset = call.h_reset ? dreset.data() : nullptr;
  if (!run_backward(kernels_of(call), args, plan, carry_row(call), over_threads, watch))
    throw Interrupted();

  Tensors result = gradients.inputs;
  for (int i = 0; i < cell.params; ++i)
    result.push_back(reduced(call, dparams.data() + i * rows.param, rows.params, chunks,
                             call.params[i], call.planes, call.planes == 2));
  result.push_back(gradients.dh0);
  result.push_back(call.h_reset ? reduced(call, dreset.data(), rows.reset, chunks, *call.h_reset,
                                          call.planes * cell.states, call.scalars == 2)
                                : new_contiguous({0}, call.carry));
  return result;
}

std::tuple<Tensor, Tensor, Tensor> forward(const CellInfo& cell, const Tensors& inputs,
                                           const Tensors& params,
                                           const std::vector<double>& options, const Optional& h0,
                                           const Optional& reset, const Optional& h_reset,
                                           bool reverse, bool save) {
  return run_operator(cell.name, "", [&](Watch& watch) {
    return run_forward_of(watch, cell, inputs, params, options, h0, reset, h_reset, reverse, save);
  });
}

Tensors backward(const CellInfo& cell, const Tensors& inputs, const Tensors& params,
                 const std::vector<double>& options, const Optional& h0, const Optional& reset,
                 const Optional& h_reset, bool reverse, const Optional& states, const Optional& dy,
                 const Optional& dh_last) {
  return run_operator(cell.name, "_backward", [&](Watch& watch) {
    return run_backward_of(watch, cell, inputs, params, options, h0, reset, h_reset, reverse,
                           states, dy, dh_last);
  });
}

// Writes the rows of lanes' maps, [lane][scale | offset][plane][channel], as states are stored.
template <class R>
void store_maps(const Call& call, const Plan& plan, int64_t row_bytes, const char* maps,
                const Tensor& scale, const Tensor& offset) {
  const int64_t C = call.args.C, planes = call.planes, blocks = plan.blocks(C);
  for (int64_t lane = 0; lane < call.args.B * blocks; ++lane) {
    const R* row = reinterpret_cast<const R*>(maps + lane * row_bytes);
    const int64_t b = lane / blocks, c0 = lane % blocks * plan.block,
                  n = std::min(c0 + plan.block, C) - c0;
    for (const Tensor* out : {&scale, &offset}) {
      R* const to = static_cast<R*>(out->mutable_data_ptr()) + b * planes * C;
      for (int64_t plane = 0; plane < planes; ++plane, row += n)
        for (int64_t i = 0; i < n; ++i)
          to[call.scalars == 2 ? 2 * (c0 + i) + plane : plane * C + c0 + i] = row[i];
    }
  }
}

std::tuple<Tensor, Tensor> map(const CellInfo& cell, const Tensors& inputs, const Tensors& params,
                               const std::vector<double>& options, const Optional& reset,
                               const Optional& h_reset, bool reverse, bool backward,
                               const Optional& given_dy) {
  return run_operator(cell.name, "_map", [&](Watch& watch) {
    Call call(cell, inputs, params, options, reverse);
    call.set_states(std::nullopt, reset, h_reset);
    const Tensor dy = set_dy(call, given_dy);
    const Plan plan =
        make_map_plan(problem_of(call, cell.inputs + (backward ? 1 : 0), 0), this_machine());
    const CarryType carry = carry_row(call);
    const int64_t row_bytes = map_bytes(plan, carry),
                  lanes = call.args.B * plan.blocks(call.args.C);
    // Of doubles, so that rows of either type are aligned.
    std::vector<double> maps = memory::array<double>(lanes * row_bytes / sizeof(double) + 1);
    char* const rows = reinterpret_cast<char*>(maps.data());
    if (!run_map(kernels_of(call), call.args, plan, carry,
                 backward ? Direction::backward : Direction::forward, over_threads, watch, rows))
      throw Interrupted();
    const Tensor scale = new_contiguous({call.args.B, call.state_channels()}, call.carry),
                 offset = new_contiguous({call.args.B, call.state_channels()}, call.carry);
    const bool single = call.carry == ScalarType::Float || call.carry == ScalarType::ComplexFloat;
    (single ? store_maps<float> : store_maps<double>)(call, plan, row_bytes, rows, scale, offset);
    return std::tuple{scale, offset};
  });
}

std::vector<int64_t> plan_op(std::string cell, Tensors inputs, Tensors params, bool backward,
                             std::vector<double> options) {
  const size_t index = cell_index(cell.c_str());
  STD_TORCH_CHECK(index < kCellCount, "no cell is named ", cell);
  if (options.empty()) options = {0};
  const Call call(cell_info(index), inputs, params, options, false);
  const Plan plan = backward ? backward_plan(call) : forward_plan(call, true);
  return {plan.threads, plan.block, plan.chunk, plan.nontemporal};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
  register_cells<forward, backward>(m);
  register_maps<map>(m);
  m.impl("plan", TORCH_BOX(&plan_op));
}

}  // namespace lrnn

// What lrnn_kernels reads and sets without tensors, through ctypes.
extern "C" {
const char* lrnn_isa() { return lrnn::isa_name(lrnn::chosen_isa()); }
int lrnn_isa_available(int isa) { return lrnn::isa_available(static_cast<lrnn::Isa>(isa)); }
void lrnn_pool_stats(int64_t* out) {
  const auto s = lrnn::memory::stats();
  out[0] = s.in_use;
  out[1] = s.cached;
  out[2] = s.limit;
  out[3] = s.mapped_total;
}
void lrnn_pool_set_limit(int64_t bytes) { lrnn::memory::set_limit(bytes); }
int64_t lrnn_pool_empty() { return lrnn::memory::empty_cache(); }
void lrnn_pool_poison(int on) { lrnn::memory::set_poison(on != 0); }
}
