// From tensors to the plain arguments of a kernel: checks that keep memory safe, layouts, and
// output buffers.
//
// Messages for users come from lrnn_kernels/checks.py, which sees the public argument names; what
// fails here was called through torch.ops directly.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <vector>

#include "../args.h"

namespace lrnn {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Optional = std::optional<Tensor>;

inline int64_t scalar_bytes(ScalarType type) {
  switch (type) {
    case ScalarType::Double:
    case ScalarType::ComplexFloat:
      return 8;
    case ScalarType::ComplexDouble:
      return 16;
    case ScalarType::Float:
    case ScalarType::Int:
      return 4;
    case ScalarType::Bool:
    case ScalarType::Byte:
      return 1;
    default:
      return 2;
  }
}

inline bool is_complex(ScalarType type) {
  return type == ScalarType::ComplexFloat || type == ScalarType::ComplexDouble;
}

// The type that states and parameters of a stream hold.
inline ScalarType carry_type(ScalarType type) {
  return type == ScalarType::BFloat16 || type == ScalarType::Half ? ScalarType::Float : type;
}

inline ScalarType complex_of(ScalarType type) {
  return type == ScalarType::Float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble;
}

// The bytes of a tensor; it is an error if they do not fit an int64_t.
inline int64_t tensor_bytes(const std::vector<int64_t>& sizes, ScalarType type) {
  int64_t bytes = scalar_bytes(type);
  bool fits = true;
  for (const int64_t size : sizes) fits = !__builtin_mul_overflow(bytes, size, &bytes) && fits;
  STD_TORCH_CHECK(fits, "a result would take 2^63 bytes or more");
  return bytes;
}

// The streams that a kernel walks together with a new one.
struct Beside {
  struct Rows {
    const void* first;
    int64_t step;             // bytes from one to the next
  } streams[kMaxInputs + 2];  // inputs, dy, states
  int count = 0;

  template <class Void>
  void add(const Stream<Void>& x, int64_t scalar_bytes) {
    if (x.data && x.stride_t != 0) streams[count++] = {x.data, x.stride_t * scalar_bytes};
  }
};

// An uninitialized tensor on the device that the operators at hand run on. Each backend's library
// has its own.
Tensor new_tensor(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                  ScalarType type, const Beside& beside = {});

// The same by torch's own allocator, index -1 for the CPU.
inline Tensor torch_empty(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                          ScalarType type, torch::headeronly::DeviceType device, int32_t index) {
  AtenTensorHandle handle;
  const auto code = [](auto x) {
    return torch::stable::detail::to<int32_t>(torch::stable::detail::from(x));
  };
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(sizes.size(), sizes.data(), strides.data(),
                                                         code(type), code(device), index, &handle));
  return Tensor(handle);
}

inline Tensor new_contiguous(const std::vector<int64_t>& sizes, ScalarType type,
                             const Beside& beside = {}) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  return new_tensor(sizes, strides, type, beside);
}

inline Tensor new_zeros(const std::vector<int64_t>& sizes, ScalarType type) {
  Tensor fresh = new_contiguous(sizes, type);
  torch::stable::zero_(fresh);
  return fresh;
}

inline void check_device(const Tensor& x, const Tensor& first, const char* what) {
  STD_TORCH_CHECK(x.device() == first.device(), what, ": tensors must be on one device");
}

// Time-major memory (T,B,C) seen as (B,T,C); outputs take the order of the first input.
// lrnn_kernels/backends/operators.py mirrors this.
inline bool is_time_major(const Tensor& x) {
  return x.size(0) > 1 && x.size(1) > 1 && x.stride(0) != 0 && x.stride(0) < x.stride(1);
}

inline Tensor new_rows(int64_t B, int64_t T, int64_t C, bool time_major, ScalarType type,
                       const Beside& beside) {
  if (time_major) return new_tensor({B, T, C}, {C, B * C, 1}, type, beside);
  return new_tensor({B, T, C}, {T * C, C, 1}, type, beside);
}

// x, or a copy of it in memory of the operators' own.
inline Tensor without_gaps(const Tensor& x) {
  if (x.is_contiguous()) return x;
  Tensor copy = new_contiguous({x.sizes().begin(), x.sizes().end()}, x.scalar_type());
  torch::stable::copy_(copy, x);
  return copy;
}

// x with unit channel stride. What has none is copied; of an expanded tensor (the gradient of a
// sum) only what is there.
inline Tensor unit_rows(Tensor x) {
  const int64_t last = x.dim() - 1;
  if (x.stride(last) == 1 || x.size(last) <= 1 || x.numel() == 0) return x;
  std::vector<int64_t> sizes, strides(x.dim(), 0);
  for (int64_t d = 0; d <= last; ++d) {
    sizes.push_back(x.size(d));
    if (d < last && x.stride(d) == 0) x = torch::stable::narrow(x, d, 0, 1);
  }
  x = without_gaps(x);
  for (int64_t d = 0; d <= last; ++d) strides[d] = x.size(d) == sizes[d] ? x.stride(d) : 0;
  AtenTensorHandle view;
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch__reinterpret_tensor(x.get(), x.dim(), sizes.data(), strides.data(), 0, &view));
  return Tensor(view);
}

// A stream of (B,T,C) or, with time = false, of (B,C) or (C,); scalars is how many storage scalars
// a channel takes (interleaved: 2).
template <class Void>
Stream<Void> stream(const Tensor& x, int64_t scalars, int64_t plane, int64_t first_channel = 0) {
  Stream<Void> s;
  using T = std::remove_const_t<Void>;
  char* const base = const_cast<char*>(static_cast<const char*>(x.const_data_ptr()));
  s.data =
      static_cast<T*>(static_cast<void*>(base + first_channel * scalar_bytes(x.scalar_type())));
  // One element has no next one, and any stride, up to 2^63; that of a contiguous tensor then
  // serves.
  s.stride_b = x.dim() >= 2 && x.size(0) > 1 ? x.stride(0) * scalars : 0;
  s.stride_t = x.dim() == 3 ? (x.size(1) > 1 ? x.stride(1) : x.size(2)) * scalars : 0;
  s.plane = plane;
  return s;
}

}  // namespace lrnn
