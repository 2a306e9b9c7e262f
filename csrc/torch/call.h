// One call of an operator, described: the shapes, the storage, the outputs, and the arguments of
// its kernel, on any device.
#pragma once

#include <utility>

#include "../cells/index.h"
#include "tensors.h"

namespace lrnn {

using Tensors = std::vector<Tensor>;

inline Storage storage_of(ScalarType type, bool split, const char* cell) {
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
      STD_TORCH_CHECK(false, cell, ": inputs must be floating point or complex");
  }
  return Storage::f32;
}

struct __attribute__((visibility("hidden"))) Call {
  const CellInfo& cell;
  Storage storage;
  ScalarType type, carry, param;  // of streams; of states; of parameters
  int64_t planes, scalars;        // real numbers per value; storage scalars per channel and plane
  bool packed, split, time_major;
  Tensors inputs, params;  // with unit rows; kept alive while the kernel runs
  Optional h0, h_reset, reset;
  ScanArgs args;

  Call(const CellInfo& cell, const Tensors& given_inputs, const Tensors& given_params,
       const std::vector<double>& options, bool reverse)
      : cell(cell) {
    STD_TORCH_CHECK(!given_inputs.empty() && static_cast<int>(given_params.size()) == cell.params,
                    cell.name, ": got ", given_inputs.size(), " inputs and ", given_params.size(),
                    " parameters, expected ", cell.inputs, " (or 1, packed) and ", cell.params);
    for (const Tensor& x : given_inputs) {
      STD_TORCH_CHECK(x.dim() == 3, cell.name, ": inputs must have 3 dimensions (B,T,C), got ",
                      x.dim());
      check_device(x, given_inputs[0], cell.name);
      inputs.push_back(unit_rows(x));
    }
    const Tensor& first = inputs[0];
    type = first.scalar_type();
    carry = carry_type(type);
    split = cell.complex && !is_complex(type) && cell.params > 0 &&
            is_complex(given_params[0].scalar_type());
    param = split ? complex_of(carry) : carry;
    planes = split || is_complex(type) ? 2 : 1;
    scalars = is_complex(type) ? 2 : 1;
    const int64_t streams = cell.inputs * (split ? 2 : 1);
    packed = static_cast<int>(inputs.size()) == 1 && streams > 1;
    STD_TORCH_CHECK(packed || static_cast<int>(inputs.size()) == cell.inputs, cell.name, ": got ",
                    inputs.size(), " inputs, expected ", cell.inputs);
    STD_TORCH_CHECK(!packed || first.size(2) % streams == 0, cell.name, ": packed channels ",
                    first.size(2), " are no multiple of ", streams);
    args.B = first.size(0);
    args.T = first.size(1);
    args.C = packed ? first.size(2) / streams : first.size(2);
    args.reverse = reverse;
    check_sizes();
    time_major = is_time_major(given_inputs[0]);
    storage = storage_of(type, split, cell.name);
    STD_TORCH_CHECK(cell.saves != Saves::bits || args.T < (int64_t{1} << 31), cell.name,
                    ": T must be below 2^31");
    const size_t leading =
        cell.saves == Saves::steps ? 1 : 0;  // the interval between saved states comes first
    STD_TORCH_CHECK(options.size() >= leading && options.size() - leading <= kMaxOptions, cell.name,
                    ": got ", options.size(), " options");
    if (leading) {
      STD_TORCH_CHECK(options[0] >= 0 && options[0] < 0x1p53 &&
                          options[0] == static_cast<double>(static_cast<int64_t>(options[0])),
                      cell.name,
                      ": the interval between saved states must be an integer of at least 0, got ",
                      options[0]);
      args.interval = static_cast<int64_t>(options[0]);
    }
    for (size_t i = leading; i < options.size(); ++i) args.options[i - leading] = options[i];
    for (int i = 0; i < cell.inputs; ++i) {
      const Tensor& x = packed ? first : inputs[i];
      STD_TORCH_CHECK(x.scalar_type() == type && x.size(0) == args.B && x.size(1) == args.T &&
                          x.size(2) == first.size(2),
                      cell.name, ": input ", i, " differs from input 0 in shape or dtype");
      args.inputs[i] = stream<const void>(x, scalars, args.C, packed ? i * args.C : 0);
    }
    for (int i = 0; i < cell.params; ++i) {
      params.push_back(per_sequence(given_params[i], "parameter", param, args.C));
      args.params[i] = stream<const void>(params[i], is_complex(param) ? 2 : 1, 0);
    }
  }

  // All sizes, offsets and counts are at most so many times (B, T and C, a margin each for rounding
  // up, multiplied): bytes of a value, planes of what is saved, streams side by side, partial sums.
  // So none of them overflows, wherever it is computed.
  void check_sizes() const {
    constexpr int64_t kMost = 1024, kMargin = 64;
    int64_t product = kMost;
    bool fits = true;
    for (const int64_t size : {args.B, args.T, args.C})
      fits = fits && !__builtin_mul_overflow(product, size + kMargin, &product);
    STD_TORCH_CHECK(fits, cell.name, ": inputs of shape (", args.B, ", ", args.T, ", ", args.C,
                    ") are too large: sizes in bytes of what belongs to them must stay below 2^63");
  }

  int64_t channels() const { return split ? 2 * args.C : args.C; }     // of y
  int64_t state_channels() const { return cell.states * channels(); }  // of h0, h_last and h_reset
  // Of what a step cell saves. A plane of its own for each value: the backward pass then walks
  // whole planes downwards, which hardware prefetchers follow, where planes side by side in a row
  // cost it half its speed.
  std::vector<int64_t> saved_sizes() const {
    if (args.interval == 0) return {args.B, cell.saved, args.T, args.C};
    return {args.B, cell.states, args.T / args.interval + 2,
            args.C};  // at least what is needed, and never 1: export with a free T
  }

  Beside inputs_beside() const {
    Beside beside;
    for (int i = 0; i < cell.inputs; ++i) beside.add(args.inputs[i], scalar_bytes(type) / scalars);
    return beside;
  }

  std::vector<int64_t> bits_sizes() const { return {args.B, (args.T + 31) / 32 + 1, args.C}; }

  // Checks a (C,) or (B,C) tensor and gives it unit channel stride.
  Tensor per_sequence(const Tensor& x, const char* what, ScalarType expected,
                      int64_t channels) const {
    const bool per_batch = x.dim() == 2 && x.size(0) == args.B;
    STD_TORCH_CHECK((x.dim() == 1 || per_batch) && x.size(x.dim() - 1) == channels, cell.name, ": ",
                    what, " must be (", channels, ",) or (", args.B, ", ", channels, ")");
    STD_TORCH_CHECK(x.scalar_type() == expected, cell.name, ": ", what,
                    " must have the carry dtype");
    check_device(x, inputs[0], cell.name);
    return unit_rows(x);
  }

  void set_states(const Optional& h0_, const Optional& reset_, const Optional& h_reset_) {
    if (h0_) {
      STD_TORCH_CHECK(h0_->dim() == 2, cell.name, ": h0 must have 2 dimensions");
      h0 = per_sequence(*h0_, "h0", carry, state_channels());
      args.h0 = stream<const void>(*h0, scalars, args.C);
    }
    if (!reset_) return;
    STD_TORCH_CHECK(cell.saves != Saves::bits, cell.name,
                    ": the last-write-wins engine takes no resets");
    STD_TORCH_CHECK(reset_->scalar_type() == ScalarType::Bool && reset_->dim() == 2 &&
                        reset_->size(0) == args.B && reset_->size(1) == args.T,
                    cell.name, ": reset must be a (B,T) bool tensor");
    check_device(*reset_, inputs[0], cell.name);
    reset = *reset_;
    args.reset = {static_cast<const uint8_t*>(reset->const_data_ptr()), reset->stride(0),
                  reset->stride(1), 0};
    if (!h_reset_) return;
    h_reset = per_sequence(*h_reset_, "h_reset", carry, state_channels());
    args.h_reset = stream<const void>(*h_reset, scalars, args.C);
  }

  int64_t saved_per_step() const {
    return cell.saves == Saves::steps && args.interval == 0 ? cell.saved : 0;
  }
};

// What a forward pass makes.
struct __attribute__((visibility("hidden"))) Outputs {
  Tensor y, h_last,
      saved;  // saved is empty unless the cell saves more than y, and a backward pass will follow

  Outputs(Call& call, bool save)
      : y(new_rows(call.args.B, call.args.T, call.channels(), call.time_major, call.type,
                   call.inputs_beside())),
        h_last(new_contiguous({call.args.B, call.state_channels()}, call.carry)),
        saved(new_saved(call, save)) {
    ScanArgs& args = call.args;
    args.y = stream<void>(y, call.scalars, args.C);
    args.h_last = stream<void>(h_last, call.scalars, args.C);
    if (save && call.cell.saves == Saves::steps)
      args.saved = {saved.mutable_data_ptr(), saved.stride(0), saved.stride(2), saved.stride(1)};
    else if (save && call.cell.saves == Saves::bits)
      args.bits = {static_cast<int32_t*>(saved.mutable_data_ptr()), saved.stride(0),
                   saved.stride(1), 0};
  }

  static Tensor new_saved(const Call& call, bool save) {
    if (save && call.cell.saves == Saves::steps)
      return new_contiguous(call.saved_sizes(), call.carry, call.inputs_beside());
    if (save && call.cell.saves == Saves::bits)
      return new_contiguous(call.bits_sizes(), ScalarType::Int);
    return new_contiguous({0}, ScalarType::Int);
  }
};

// Sets the adjoints that arrive at each step, and returns the tensor that holds them. Where there
// are none: one row of zeros, which every step reads.
inline Tensor set_dy(Call& call, const Optional& given) {
  ScanArgs& args = call.args;
  if (!given) {
    const Tensor zeros = new_zeros({call.channels()}, call.type);
    args.dy = {zeros.const_data_ptr(), 0, 0, args.C};
    return zeros;
  }
  STD_TORCH_CHECK(given->dim() == 3 && given->size(0) == args.B && given->size(1) == args.T &&
                      given->size(2) == call.channels() && given->scalar_type() == call.type,
                  call.cell.name, "_backward: dy must have the shape and dtype of y");
  check_device(*given, call.inputs[0], call.cell.name);
  const Tensor dy = unit_rows(*given);
  args.dy = stream<const void>(dy, call.scalars, args.C);
  return dy;
}

// What a backward pass reads besides the call, and the gradients that it writes.
struct __attribute__((visibility("hidden"))) Gradients {
  Optional states, dy, dh_last;
  Tensors inputs;  // one for packed inputs
  Tensor dh0;

  Gradients(Call& call, const Optional& states_, const Optional& dy_, const Optional& dh_last_)
      : dh0(new_contiguous({call.args.B, call.state_channels()}, call.carry)) {
    ScanArgs& args = call.args;
    const CellInfo& cell = call.cell;
    if (cell.saves != Saves::nothing) set_states(call, states_);
    dy = set_dy(call, dy_);
    if (dh_last_) {
      STD_TORCH_CHECK(dh_last_->dim() == 2, cell.name, "_backward: dh_last must have 2 dimensions");
      dh_last = call.per_sequence(*dh_last_, "dh_last", call.carry, call.state_channels());
      args.dh_last = stream<const void>(*dh_last, call.scalars, args.C);
    }
    const int64_t scalar = scalar_bytes(call.type) / call.scalars;
    Beside beside = call.inputs_beside();
    beside.add(args.dy, scalar);
    if (cell.saves == Saves::output) beside.add(args.states, scalar);
    for (int i = 0; i < cell.inputs; ++i) {
      if (i == 0 || !call.packed)
        inputs.push_back(
            new_rows(args.B, args.T, call.inputs[i].size(2), call.time_major, call.type, beside));
      args.dinputs[i] =
          stream<void>(inputs.back(), call.scalars, args.C, call.packed ? i * args.C : 0);
    }
    args.dh0 = stream<void>(dh0, call.scalars, args.C);
  }

  void set_states(Call& call, const Optional& given) {
    ScanArgs& args = call.args;
    const CellInfo& cell = call.cell;
    STD_TORCH_CHECK(given, cell.name, "_backward: states are needed");
    const bool bits = cell.saves == Saves::bits, steps = cell.saves == Saves::steps;
    const std::vector<int64_t> sizes = bits ? call.bits_sizes()
                                       : steps
                                           ? call.saved_sizes()
                                           : std::vector<int64_t>{args.B, args.T, call.channels()};
    const ScalarType type = bits ? ScalarType::Int : steps ? call.carry : call.type;
    bool fits = given->dim() == static_cast<int64_t>(sizes.size()) && given->scalar_type() == type;
    for (size_t d = 0; fits && d < sizes.size(); ++d) fits = given->size(d) == sizes[d];
    STD_TORCH_CHECK(fits, cell.name, "_backward: states must be ",
                    cell.saves == Saves::output ? "y" : "what was saved", " of the forward pass");
    check_device(*given, call.inputs[0], cell.name);
    states = unit_rows(*given);
    if (bits)
      args.saved_bits = {static_cast<const int32_t*>(states->const_data_ptr()), states->stride(0),
                         states->stride(1), 0};
    else if (steps)
      args.states = {states->const_data_ptr(), states->stride(0), states->stride(2),
                     states->stride(1)};
    else
      args.states = stream<const void>(*states, call.scalars, args.C);
  }
};

// The rows of partial sums: real numbers of the gradients of all parameters, and of h_reset, side
// by side in a slot.
struct SumRows {
  int64_t param, params, reset;
  explicit SumRows(const Call& call)
      : param(call.planes * call.args.C),
        params(call.cell.params * param),
        reset(call.h_reset ? call.cell.states * param : 0) {}
};

// A parameter's or h_reset's gradient, to be written.
inline Tensor new_gradient(const Call& call, const Tensor& like) {
  const int64_t last = like.size(like.dim() - 1);
  return new_contiguous(
      like.dim() == 2 ? std::vector<int64_t>{call.args.B, last} : std::vector<int64_t>{last},
      like.scalar_type());
}

// One plain function per operator, as the dispatcher wants it, of forward(cell, ...) and
// backward(cell, ...) for all.
template <size_t kCell, auto kForward>
std::tuple<Tensor, Tensor, Tensor> forward_op(Tensors inputs, Tensors params,
                                              std::vector<double> options, Optional h0,
                                              Optional reset, Optional h_reset, bool reverse,
                                              bool save) {
  return kForward(cell_info(kCell), inputs, params, options, h0, reset, h_reset, reverse, save);
}
template <size_t kCell, auto kBackward>
Tensors backward_op(Tensors inputs, Tensors params, std::vector<double> options, Optional h0,
                    Optional reset, Optional h_reset, bool reverse, Optional states, Optional dy,
                    Optional dh_last) {
  return kBackward(cell_info(kCell), inputs, params, options, h0, reset, h_reset, reverse, states,
                   dy, dh_last);
}

template <size_t kCell, auto kMap>
std::tuple<Tensor, Tensor> map_op(Tensors inputs, Tensors params, std::vector<double> options,
                                  Optional reset, Optional h_reset, bool reverse, bool backward,
                                  Optional dy) {
  return kMap(cell_info(kCell), inputs, params, options, reset, h_reset, reverse, backward, dy);
}

// The same of a matrix cell, which is known by its number: its kernels say what CellInfo does not.
template <size_t kCell, auto kForward>
std::tuple<Tensor, Tensor, Tensor> matrix_forward_op(Tensors inputs, Tensors params,
                                                     std::vector<double>, Optional h0,
                                                     Optional reset, Optional h_reset, bool reverse,
                                                     bool save) {
  return kForward(kCell, inputs, params, h0, reset, h_reset, reverse, save);
}
template <size_t kCell, auto kBackward>
Tensors matrix_backward_op(Tensors inputs, Tensors params, std::vector<double>, Optional h0,
                           Optional reset, Optional h_reset, bool reverse, Optional states,
                           Optional dy, Optional dh_last) {
  return kBackward(kCell, inputs, params, h0, reset, h_reset, reverse, states, dy, dh_last);
}

// Registers a backend's implementation of the operators of list.h: of all but those of the matrix
// engine; of the affine engine's maps (those of the latch's are its generic cell's); of the matrix
// engine's; or of those that take the product of their inputs, too.
#define LRNN_REGISTER(name, header, engine, Cell) LRNN_REGISTER_##engine(name)
#define LRNN_REGISTER_OP(name, suffix, forward, backward)              \
  m.impl(#name suffix, TORCH_BOX((&forward<kCell_##name, kForward>))); \
  m.impl(#name suffix "_backward", TORCH_BOX((&backward<kCell_##name, kBackward>)));
#define LRNN_REGISTER_affine LRNN_REGISTER_step
#define LRNN_REGISTER_latch LRNN_REGISTER_step

#define LRNN_REGISTER_step(name) LRNN_REGISTER_OP(name, "", forward_op, backward_op)
#define LRNN_REGISTER_matrix(name)
template <auto kForward, auto kBackward>
void register_cells(torch::stable::detail::StableLibrary& m){LRNN_CELLS(LRNN_REGISTER)}
#undef LRNN_REGISTER_matrix
#undef LRNN_REGISTER_step

#undef LRNN_REGISTER_latch
#undef LRNN_REGISTER_affine
#define LRNN_REGISTER_affine(name) m.impl(#name "_map", TORCH_BOX((&map_op<kCell_##name, kMap>)));
#define LRNN_REGISTER_latch(name)
#define LRNN_REGISTER_step(name)
#define LRNN_REGISTER_matrix(name)
template <auto kMap>
void register_maps(torch::stable::detail::StableLibrary& m){LRNN_CELLS(LRNN_REGISTER)}
#undef LRNN_REGISTER_matrix
#undef LRNN_REGISTER_step
#undef LRNN_REGISTER_latch
#undef LRNN_REGISTER_affine
#define LRNN_REGISTER_affine LRNN_REGISTER_step
#define LRNN_REGISTER_latch LRNN_REGISTER_step

#define LRNN_REGISTER_step(name)
#define LRNN_REGISTER_matrix(name) LRNN_REGISTER_OP(name, "", matrix_forward_op, matrix_backward_op)
template <auto kForward, auto kBackward>
void register_matrix_cells(torch::stable::detail::StableLibrary& m){LRNN_CELLS(LRNN_REGISTER)}
#undef LRNN_REGISTER_matrix

#define LRNN_REGISTER_matrix(name) \
  LRNN_REGISTER_OP(name, "_driven", matrix_forward_op, matrix_backward_op)
template <auto kForward, auto kBackward>
void register_driven_cells(torch::stable::detail::StableLibrary& m) {
  LRNN_CELLS(LRNN_REGISTER)
}
#undef LRNN_REGISTER_matrix
#undef LRNN_REGISTER_step
#undef LRNN_REGISTER_latch
#undef LRNN_REGISTER_affine
#undef LRNN_REGISTER_OP
#undef LRNN_REGISTER

}  // namespace lrnn
