// What a step of a whole layer is given, and the parts that it is made of besides the scan.
#pragma once

#include <string.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <initializer_list>

#include "call.h"

namespace lrnn {

using Options = std::vector<double>;

// The memory of x in another form, or a part of it from an offset on; nobody's view.
inline Tensor seen_as(const Tensor& x, std::initializer_list<int64_t> sizes,
                      std::initializer_list<int64_t> strides, int64_t offset = 0) {
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch__reinterpret_tensor(x.get(), sizes.size(), sizes.begin(),
                                                               strides.begin(), offset, &handle));
  return Tensor(handle);
}

// What torch's operator of this name makes of its arguments.
template <class... Arguments>
inline Tensor call_torch(const char* name, const Arguments&... arguments) {
  StableIValue stack[] = {torch::stable::detail::from(arguments)...};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(name, "", stack, TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

template <class R>
const R* data(const Tensor& x) {
  return static_cast<const R*>(x.const_data_ptr());
}
template <class R>
R* mutable_data(const Tensor& x) {
  return static_cast<R*>(x.mutable_data_ptr());
}

// Calls work with a zero of the type, double or float.
template <class Work>
void as_real(ScalarType type, const Work& work) {
  if (type == ScalarType::Double)
    work(double{});
  else
    work(float{});
}

inline bool is_vector(const Tensor& x, int64_t size) {
  return x.dim() == 1 && x.size(0) == size && x.is_contiguous();
}
inline bool is_matrix(const Tensor& x, int64_t rows, int64_t columns) {
  return x.dim() == 2 && x.size(0) == rows && x.size(1) == columns;
}

// x in the carry type, where it is 16-bit.
inline Tensor widened(const Tensor& x, ScalarType carry) {
  if (x.scalar_type() != ScalarType::BFloat16 && x.scalar_type() != ScalarType::Half) return x;
  Tensor wide = new_contiguous({x.sizes().begin(), x.sizes().end()}, carry);
  torch::stable::copy_(wide, x);
  return wide;
}

// x (B,in) times the transposed weight (N,in), plus a bias, of the first rows where it is shorter.
// As in torch.nn.functional.linear, the bias is where the sum begins.
inline Tensor product(const Tensor& x, const Tensor& weight, const Optional& bias) {
  const int64_t B = x.size(0), N = weight.size(0), scalar = scalar_bytes(x.scalar_type());
  const Tensor out = new_contiguous({B, N}, x.scalar_type());
  const Tensor columns = seen_as(weight, {weight.size(1), N}, {weight.stride(1), weight.stride(0)});
  if (!bias) {
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(out.get(), x.get(), columns.get()));
    return out;
  }
  char* row = static_cast<char*>(out.mutable_data_ptr());
  const size_t given = bias->size(0) * scalar, rest = N * scalar - given;
  for (int64_t b = 0; b < B; ++b, row += N * scalar) {
    memcpy(row, bias->const_data_ptr(), given);
    memset(row + given, 0, rest);
  }
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_cpu_addmm_out(out.get(), out.get(), x.get(), columns.get(), 1.0, 1.0));
  return out;
}

// Where a layer's states are: the layer-th of layers, of x without a batch or with one.
struct Place {
  int64_t layer, layers;
};

struct Form {
  ScalarType type, carry, state;
  int64_t B, C, scalars;  // scalars: 2 where values are complex, else 1
  bool batched;
};

// All that can be told of a call by looking at its tensors.
struct Given {
  const Tensor& x;
  const Tensors &weights, &params, &states;
  const Optional &reset, &initial;
  Place place;

  // The form of a call that fits.
  std::optional<Form> form(const CellInfo& cell, const Tensor& weight, const Optional& bias,
                           bool complex) const {
    Form f;
    f.type = x.scalar_type();
    f.carry = carry_type(f.type);
    f.scalars = complex ? 2 : 1;
    f.state = complex ? complex_of(f.carry) : f.carry;
    f.batched = x.dim() == 2;
    const bool floating = f.carry == ScalarType::Float || f.carry == ScalarType::Double;
    if (!floating || (x.dim() != 1 && !f.batched) || !x.is_contiguous()) return {};
    f.B = f.batched ? x.size(0) : 1;
    const int64_t in = x.size(x.dim() - 1), streams = cell.inputs * f.scalars;
    if (weight.dim() != 2 || weight.scalar_type() != f.type || weight.size(1) != in) return {};
    f.C = weight.size(0) / streams;
    if (f.C == 0 || weight.size(0) % streams != 0) return {};
    if (bias && (bias->dim() != 1 || !bias->is_contiguous() || bias->scalar_type() != f.type ||
                 bias->size(0) > weight.size(0)))
      return {};
    return fits(cell, f) ? std::optional<Form>(f) : std::nullopt;
  }

  bool fits(const CellInfo& cell, const Form& f) const {
    if (place.layer < 0 || place.layer >= place.layers) return false;
    if (!states.empty() && static_cast<int>(states.size()) != cell.states) return false;
    for (const Tensor& h : states) {
      const int64_t dims = x.dim() + 1;
      if (h.dim() != dims || h.size(0) != place.layers || h.size(dims - 1) != f.C ||
          (f.batched && h.size(1) != f.B) || h.scalar_type() != f.state || !h.is_contiguous())
        return false;
    }
    if (reset && (reset->scalar_type() != ScalarType::Bool || reset->dim() != x.dim() - 1 ||
                  (f.batched && reset->size(0) != f.B)))
      return false;
    return !initial || (is_vector(*initial, cell.states * f.scalars * f.C) &&
                        (initial->scalar_type() == f.carry || initial->scalar_type() == f.type));
  }
};

// The states of a place as kernels take them: side by side in a row, the real parts of complex ones
// before the imaginary parts. Without any, the initial one, or none where that is zero.
inline Optional stored(const Given& given, const Form& f, const Optional& initial) {
  if (given.states.empty()) {
    if (!initial) return {};
    return seen_as(*initial, {f.B, initial->size(0)}, {0, 1});
  }
  const int64_t count = given.states.size(), from = given.place.layer * f.B * f.C;
  if (count == 1 && f.scalars == 1) return seen_as(given.states[0], {f.B, f.C}, {f.C, 1}, from);
  const Tensor rows = new_contiguous({f.B, count * f.scalars * f.C}, f.carry);
  as_real(f.carry, [&](auto zero) {
    using R = decltype(zero);
    R* row = mutable_data<R>(rows);
    for (int64_t b = 0; b < f.B; ++b)
      for (const Tensor& h : given.states) {
        const R* const theirs = data<R>(h) + (from + b * f.C) * f.scalars;
        for (int64_t part = 0; part < f.scalars; ++part)
          for (int64_t c = 0; c < f.C; ++c) *row++ = theirs[c * f.scalars + part];
      }
  });
  return rows;
}

// The inverse: new tensors, each of one layer.
inline void load_states(Tensors& result, const Tensor& rows, const CellInfo& cell, const Form& f) {
  if (cell.states == 1 && f.scalars == 1) {
    result.push_back(f.batched ? seen_as(rows, {1, f.B, f.C}, {f.B * f.C, f.C, 1})
                               : seen_as(rows, {1, f.C}, {f.C, 1}));
    return;
  }
  const std::vector<int64_t> sizes =
      f.batched ? std::vector<int64_t>{1, f.B, f.C} : std::vector<int64_t>{1, f.C};
  for (int64_t i = 0; i < cell.states; ++i) result.push_back(new_contiguous(sizes, f.state));
  as_real(f.carry, [&](auto zero) {
    using R = decltype(zero);
    const R* row = data<R>(rows);
    const size_t first = result.size() - cell.states;
    for (int64_t b = 0; b < f.B; ++b)
      for (int64_t i = 0; i < cell.states; ++i) {
        R* const theirs = mutable_data<R>(result[first + i]) + b * f.C * f.scalars;
        for (int64_t part = 0; part < f.scalars; ++part)
          for (int64_t c = 0; c < f.C; ++c) theirs[c * f.scalars + part] = *row++;
      }
  });
}

// x (B,in) as rows, and y's rows in the form of x.
inline Tensor rows_of(const Given& given, const Form& f) {
  if (f.batched) return given.x;
  return seen_as(given.x, {1, given.x.size(0)}, {given.x.size(0), 1});
}
inline Tensor in_form_of_x(const Tensor& y, int64_t channels, const Form& f) {
  return f.batched ? seen_as(y, {f.B, channels}, {channels, 1}) : seen_as(y, {channels}, {1});
}

}  // namespace lrnn
