// The CPU implementation of every affine operator: describes the call to the kernels, plans it, and runs it on torch's threads.
#include <inttypes.h>
#include <stdio.h>

#include <string>

#include "../tensors.h"
#include "run.h"

namespace lrnn {
namespace {

using Tensors = std::vector<Tensor>;

void parallel_for(int64_t count, void (*work)(void*, int64_t), void* context) {
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(context, i);
  });
}

// The size of the last-level cache that one core sees. sysconf adds up all of a socket's caches on some processors.
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

// One call, described: the shapes, the storage, and the kernel arguments that forward and backward share.
struct Call {
  const CellInfo& cell;
  Kernels kernels;
  Storage storage;
  ScalarType type, carry, param;  // of streams; of states; of parameters
  int64_t planes, scalars;        // real numbers per value; storage scalars per channel and plane
  bool packed, split, time_major;
  Tensors inputs, params;  // with unit rows; kept alive while the kernel runs
  Optional h0, h_reset, reset;
  ScanArgs args;

  Call(size_t index, const Tensors& given_inputs, const Tensors& given_params, const std::vector<double>& options, bool reverse)
      : cell(kCells[index]) {
    STD_TORCH_CHECK(!given_inputs.empty() && static_cast<int>(given_params.size()) == cell.params, cell.name, ": got ", given_inputs.size(),
                    " inputs and ", given_params.size(), " parameters, expected ", cell.inputs, " (or 1, packed) and ", cell.params);
    for (const Tensor& x : given_inputs) {
      STD_TORCH_CHECK(x.dim() == 3, cell.name, ": inputs must have 3 dimensions (B,T,C), got ", x.dim());
      inputs.push_back(unit_rows(x));
    }
    const Tensor& first = inputs[0];
    type = first.scalar_type();
    carry = carry_type(type);
    split = cell.complex && !is_complex(type) && cell.params > 0 && is_complex(given_params[0].scalar_type());
    param = split ? complex_of(carry) : carry;
    planes = split || is_complex(type) ? 2 : 1;
    scalars = is_complex(type) ? 2 : 1;
    const int64_t streams = cell.inputs * (split ? 2 : 1);
    packed = static_cast<int>(inputs.size()) == 1 && streams > 1;
    STD_TORCH_CHECK(packed || static_cast<int>(inputs.size()) == cell.inputs, cell.name, ": got ", inputs.size(), " inputs, expected ",
                    cell.inputs);
    STD_TORCH_CHECK(!packed || first.size(2) % streams == 0, cell.name, ": packed channels ", first.size(2), " are no multiple of ",
                    streams);
    args.B = first.size(0);
    args.T = first.size(1);
    args.C = packed ? first.size(2) / streams : first.size(2);
    args.reverse = reverse;
    time_major = is_time_major(given_inputs[0]);
    storage = find_storage();
    kernels = find_kernels(index, storage);
    STD_TORCH_CHECK(kernels.forward, cell.name, ": no CPU kernel for this dtype");
    STD_TORCH_CHECK(!cell.saves_bits || args.T < (int64_t{1} << 31), cell.name, ": T must be below 2^31");
    STD_TORCH_CHECK(options.size() <= 2, cell.name, ": at most 2 options");
    for (size_t i = 0; i < options.size(); ++i) args.options[i] = options[i];
    for (int i = 0; i < cell.inputs; ++i) {
      const Tensor& x = packed ? first : inputs[i];
      STD_TORCH_CHECK(x.scalar_type() == type && x.size(0) == args.B && x.size(1) == args.T && x.size(2) == first.size(2), cell.name,
                      ": input ", i, " differs from input 0 in shape or dtype");
      args.inputs[i] = stream<const void>(x, scalars, args.C, packed ? i * args.C : 0);
    }
    for (int i = 0; i < cell.params; ++i) {
      params.push_back(ends(given_params[i], "parameter", param, args.C));
      args.params[i] = stream<const void>(params[i], is_complex(param) ? 2 : 1, 0);
    }
  }

  Storage find_storage() const {
    switch (type) {
      case ScalarType::Float:
        return split ? Storage::f32_split : Storage::f32;
      case ScalarType::Double:
        return split ? Storage::f64_split : Storage::f64;
      case ScalarType::BFloat16:
        return split ? Storage::bf16_split : Storage::bf16;
      case ScalarType::Half:
        return split ? Storage::f16_split : Storage::f16;
      case ScalarType::ComplexFloat:
        return Storage::c64;
      case ScalarType::ComplexDouble:
        return Storage::c128;
      default:
        STD_TORCH_CHECK(false, cell.name, ": inputs must be floating point or complex");
    }
    return Storage::f32;
  }

  int64_t state_channels() const { return split ? 2 * args.C : args.C; }

  // Checks a (C,) or (B,C) tensor and gives it unit channel stride.
  Tensor ends(const Tensor& x, const char* what, ScalarType expected, int64_t channels) const {
    const bool per_batch = x.dim() == 2 && x.size(0) == args.B;
    STD_TORCH_CHECK((x.dim() == 1 || per_batch) && x.size(x.dim() - 1) == channels, cell.name, ": ", what, " must be (", channels,
                    ",) or (", args.B, ", ", channels, ")");
    STD_TORCH_CHECK(x.scalar_type() == expected, cell.name, ": ", what, " must have the carry dtype");
    return unit_rows(x);
  }

  void set_states(const Optional& h0_, const Optional& reset_, const Optional& h_reset_) {
    if (h0_) {
      STD_TORCH_CHECK(h0_->dim() == 2, cell.name, ": h0 must have 2 dimensions");
      h0 = ends(*h0_, "h0", carry, state_channels());
      args.h0 = stream<const void>(*h0, scalars, args.C);
    }
    if (!reset_) return;
    STD_TORCH_CHECK(!cell.saves_bits, cell.name, ": the last-write-wins engine takes no resets");
    STD_TORCH_CHECK(
        reset_->scalar_type() == ScalarType::Bool && reset_->dim() == 2 && reset_->size(0) == args.B && reset_->size(1) == args.T,
        cell.name, ": reset must be a (B,T) bool tensor");
    reset = *reset_;
    args.reset = {static_cast<const uint8_t*>(reset->const_data_ptr()), reset->stride(0), reset->stride(1), 0};
    if (!h_reset_) return;
    h_reset = ends(*h_reset_, "h_reset", carry, state_channels());
    args.h_reset = stream<const void>(*h_reset, scalars, args.C);
  }

  // moved: how many streams a pass reads and writes.
  Plan plan(int64_t moved) {
    const int64_t value_bytes = scalar_bytes(type) * (split ? 2 : 1);
    const int64_t carry_bytes = scalar_bytes(carry) / scalars;
    Problem problem;
    problem.B = args.B;
    problem.T = args.T;
    problem.C = args.C;
    problem.channels_per_row = 4096 / carry_bytes;
    problem.step_bytes = moved * args.C * value_bytes;
    problem.aligned = args.C * scalar_bytes(type) % 64 == 0;
    return make_plan(problem, this_machine());
  }
  Plan forward_plan() { return plan(cell.inputs + 1); }
  Plan backward_plan() { return plan(2 * cell.inputs + 1 + (cell.uses_state ? 1 : 0)); }

  CarryType carry_row() const { return {scalar_bytes(carry) * (split ? 2 : 1)}; }

  // Streamed stores need every row on a cache line.
  static bool on_lines(const Output& x) { return reinterpret_cast<uintptr_t>(x.data) % 64 == 0; }
};

std::tuple<Tensor, Tensor, Tensor> forward(size_t index, const Tensors& inputs, const Tensors& params, const std::vector<double>& options,
                                           const Optional& h0, const Optional& reset, const Optional& h_reset, bool reverse, bool save) {
  Call call(index, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  Plan plan = call.forward_plan();

  const Tensor y = new_rows(args.B, args.T, call.state_channels(), call.time_major, call.type);
  const Tensor h_last = new_contiguous({args.B, call.state_channels()}, call.carry);
  args.y = stream<void>(y, call.scalars, args.C);
  args.h_last = stream<void>(h_last, call.scalars, args.C);

  const bool bits = save && call.cell.saves_bits;
  const int64_t words = (args.T + 31) / 32, chunks = plan.chunks(args.T);
  const Tensor saved = new_contiguous(bits ? std::vector<int64_t>{args.B, words + 1, args.C} : std::vector<int64_t>{0}, ScalarType::Int);
  std::vector<int32_t> first_writes;
  if (bits) {
    args.bits = {static_cast<int32_t*>(saved.mutable_data_ptr()), saved.stride(0), saved.stride(1), 0};
    first_writes.resize(args.B * chunks * args.C);
    args.first_writes = first_writes.data();
  }
  args.nontemporal = plan.nontemporal && Call::on_lines(args.y);
  run_forward(call.kernels, args, plan, call.carry_row(), parallel_for);

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

Tensor reduced(const Call& call, const double* sums, int64_t slot_stride, int64_t chunks, const Tensor& like, bool interleaved) {
  const int64_t last = like.size(like.dim() - 1);
  const Tensor out =
      new_contiguous(like.dim() == 2 ? std::vector<int64_t>{call.args.B, last} : std::vector<int64_t>{last}, like.scalar_type());
  const bool single = call.carry == ScalarType::Float || call.carry == ScalarType::ComplexFloat;
  (single ? reduce_slots<float> : reduce_slots<double>)(sums, slot_stride, call.args.B, chunks, call.args.C, call.planes, interleaved, out);
  return out;
}

Tensors backward(size_t index, const Tensors& inputs, const Tensors& params, const std::vector<double>& options, const Optional& h0,
                 const Optional& reset, const Optional& h_reset, bool reverse, const Optional& states_, const Optional& dy_,
                 const Optional& dh_last_) {
  Call call(index, inputs, params, options, reverse);
  call.set_states(h0, reset, h_reset);
  ScanArgs& args = call.args;
  Plan plan = call.backward_plan();
  const int64_t width = call.state_channels();

  Optional states, dy, dh_last;
  if (call.cell.uses_state || call.cell.saves_bits) STD_TORCH_CHECK(states_, call.cell.name, "_backward: states are needed");
  if (call.cell.uses_state) {
    STD_TORCH_CHECK(states_->dim() == 3 && states_->size(0) == args.B && states_->size(1) == args.T && states_->size(2) == width &&
                        states_->scalar_type() == call.type,
                    call.cell.name, "_backward: states must be y of the forward pass");
    states = unit_rows(*states_);
    args.states = stream<const void>(*states, call.scalars, args.C);
  } else if (call.cell.saves_bits) {
    STD_TORCH_CHECK(states_->dim() == 3 && states_->size(0) == args.B && states_->size(1) == (args.T + 31) / 32 + 1 &&
                        states_->size(2) == args.C && states_->scalar_type() == ScalarType::Int && states_->is_contiguous(),
                    call.cell.name, "_backward: states must be what the forward pass saved");
    states = *states_;
    args.saved_bits = {static_cast<const int32_t*>(states->const_data_ptr()), states->stride(0), states->stride(1), 0};
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
    dh_last = call.ends(*dh_last_, "dh_last", call.carry, width);
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
  const Tensor dh0 = new_contiguous({args.B, width}, call.carry);
  args.dh0 = stream<void>(dh0, call.scalars, args.C);

  const int64_t chunks = plan.chunks(args.T), row = call.planes * args.C;
  const int64_t dparams_row = call.cell.params * row;
  std::vector<double> dparams(args.B * chunks * dparams_row), dreset(call.h_reset ? args.B * chunks * row : 0);
  args.dparams = dparams.data();
  args.dreset = call.h_reset ? dreset.data() : nullptr;
  run_backward(call.kernels, args, plan, call.carry_row(), parallel_for);

  for (int i = 0; i < call.cell.params; ++i)
    result.push_back(reduced(call, dparams.data() + i * row, dparams_row, chunks, call.params[i], call.planes == 2));
  result.push_back(dh0);
  result.push_back(call.h_reset ? reduced(call, dreset.data(), row, chunks, *call.h_reset, call.scalars == 2)
                                : new_contiguous({0}, call.carry));
  return result;
}

size_t cell_index(const std::string& name) {
  for (size_t i = 0; i < kCellCount; ++i)
    if (name == kCells[i].name) return i;
  STD_TORCH_CHECK(false, "no cell is named ", name);
  return 0;
}

std::vector<int64_t> plan(std::string cell, Tensors inputs, Tensors params, bool backward) {
  Call call(cell_index(cell), inputs, params, {}, false);
  const Plan plan = backward ? call.backward_plan() : call.forward_plan();
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
constexpr size_t kAffineCells = LRNN_AFFINE_CELLS(LRNN_COUNT);
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
  register_cells(m, std::make_index_sequence<kAffineCells + 1>());
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
