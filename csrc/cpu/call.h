// One call of an operator, described: the shapes, the storage, and the kernel arguments that forward and backward share.
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "../tensors.h"
#include "kernels.h"
#include "run.h"

namespace lrnn {

using Tensors = std::vector<Tensor>;

// The size of the last-level cache that one core sees. sysconf adds up all of a socket's caches on some processors.
inline int64_t last_level_cache() {
  int64_t kib = 0;
  if (FILE* const file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (fscanf(file, "%" SCNd64 "K", &kib) != 1) kib = 0;
    fclose(file);
  }
  return kib > 0 ? kib << 10 : int64_t{32} << 20;
}

inline Machine this_machine() {
  static const int64_t cache = last_level_cache();
  return {torch::stable::get_num_threads(), cache};
}

// A step of a nonlinear cell takes about a nanosecond an element, the time of some 20 bytes.
inline constexpr int64_t kStepCost = 20;

struct __attribute__((visibility("hidden"))) Call {
  const CellInfo& cell;
  Storage storage;
  ScalarType type, carry, param;  // of streams; of states; of parameters
  int64_t planes, scalars;        // real numbers per value; storage scalars per channel and plane
  bool packed, split, time_major;
  Tensors inputs, params;  // with unit rows; kept alive while the kernel runs
  Optional h0, h_reset, reset;
  ScanArgs args;

  Call(const CellInfo& cell, const Tensors& given_inputs, const Tensors& given_params, const std::vector<double>& options, bool reverse)
      : cell(cell) {
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
    STD_TORCH_CHECK(cell.saves != Saves::bits || args.T < (int64_t{1} << 31), cell.name, ": T must be below 2^31");
    const size_t leading = cell.saves == Saves::steps ? 1 : 0;  // the interval between saved states comes first
    STD_TORCH_CHECK(options.size() >= leading && options.size() - leading <= kMaxOptions, cell.name, ": got ", options.size(), " options");
    if (leading) {
      STD_TORCH_CHECK(options[0] >= 0 && options[0] < 0x1p53 && options[0] == static_cast<double>(static_cast<int64_t>(options[0])),
                      cell.name, ": the interval between saved states must be an integer of at least 0, got ", options[0]);
      args.interval = static_cast<int64_t>(options[0]);
    }
    for (size_t i = leading; i < options.size(); ++i) args.options[i - leading] = options[i];
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

  int64_t channels() const { return split ? 2 * args.C : args.C; }     // of y
  int64_t state_channels() const { return cell.states * channels(); }  // of h0, h_last and h_reset
  // Of what a step cell saves. A plane of its own for each value: the backward pass then walks whole planes downwards, which hardware
  // prefetchers follow, where planes side by side in a row cost it half its speed.
  std::vector<int64_t> saved_sizes() const {
    if (args.interval == 0) return {args.B, cell.saved, args.T, args.C};
    return {args.B, cell.states, args.T / args.interval + 2, args.C};  // at least what is needed, and never 1: export with a free T
  }

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
    STD_TORCH_CHECK(cell.saves != Saves::bits, cell.name, ": the last-write-wins engine takes no resets");
    STD_TORCH_CHECK(
        reset_->scalar_type() == ScalarType::Bool && reset_->dim() == 2 && reset_->size(0) == args.B && reset_->size(1) == args.T,
        cell.name, ": reset must be a (B,T) bool tensor");
    reset = *reset_;
    args.reset = {static_cast<const uint8_t*>(reset->const_data_ptr()), reset->stride(0), reset->stride(1), 0};
    if (!h_reset_) return;
    h_reset = ends(*h_reset_, "h_reset", carry, state_channels());
    args.h_reset = stream<const void>(*h_reset, scalars, args.C);
  }

  // moved: how many streams a pass reads and writes; saved: how many values of the carry type beside them.
  Plan plan(int64_t moved, int64_t saved) {
    const int64_t value_bytes = scalar_bytes(type) * (split ? 2 : 1);
    const int64_t carry_bytes = scalar_bytes(carry) / scalars;
    Problem problem;
    problem.B = args.B;
    problem.T = args.T;
    problem.C = args.C;
    problem.channels_per_row = 4096 / carry_bytes;
    problem.step_bytes = args.C * (moved * value_bytes + saved * carry_bytes);
    problem.aligned = args.C * scalar_bytes(type) % 64 == 0;
    problem.sequential = cell.sequential;
    problem.cost_bytes = cell.sequential ? args.C * kStepCost : 0;
    return make_plan(problem, this_machine());
  }
  int64_t saved_per_step() const { return cell.saves == Saves::steps && args.interval == 0 ? cell.saved : 0; }
  Plan forward_plan(bool save) { return plan(cell.inputs + 1, save ? saved_per_step() : 0); }
  Plan backward_plan() { return plan(2 * cell.inputs + 1 + (cell.saves == Saves::output ? 1 : 0), saved_per_step()); }

  CarryType carry_row() const { return {scalar_bytes(carry) * (split ? 2 : 1) * cell.states}; }

  // Streamed stores need every row on a cache line.
  static bool on_lines(const Output& x) { return reinterpret_cast<uintptr_t>(x.data) % 64 == 0; }
};

}  // namespace lrnn
