// The operators of csrc/cuda for CPU tensors, on the executor, in a namespace of their own.
#include "../../../../csrc/torch/device.h"

#include <string.h>

#include "../../../../csrc/torch/cuda.h"
#include "include/executor.h"

namespace lrnn {
namespace {

constexpr int64_t kBytesInFlight = int64_t{2} << 20;

Gpu simulated{kBytesInFlight, cuda_on_cpu::kMultiprocessors, int64_t{50} << 20};

}  // namespace

DeviceScope::DeviceScope(const Tensor&) : gpu_(simulated), stream_(nullptr) {}
DeviceScope::~DeviceScope() = default;

void check_launch(int error, const char* what) {
  STD_TORCH_CHECK(error == 0, what, ": ", cuda_on_cpu_message());
}

// Filled with NaN, so that an element that no kernel wrote is seen.
Tensor new_tensor(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                  ScalarType type, const Beside&) {
  const Tensor fresh = torch_empty(sizes, strides, type, torch::headeronly::DeviceType::CPU, -1);
  int64_t bytes = scalar_bytes(type);
  for (const int64_t size : sizes) bytes *= size;
  if (bytes > 0) memset(fresh.mutable_data_ptr(), 0xff, bytes);
  return fresh;
}

}  // namespace lrnn

STABLE_TORCH_LIBRARY_IMPL(lrnn_on_executor, CPU, m) { lrnn::register_gpu_operators(m); }

extern "C" {
void lrnn_gpu_set_bytes_in_flight(int64_t bytes) {
  lrnn::simulated.bytes_in_flight = bytes > 0 ? bytes : lrnn::kBytesInFlight;
}
void lrnn_gpu_set_multiprocessors(int64_t count) { lrnn::simulated.multiprocessors = count; }
}
