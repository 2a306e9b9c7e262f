// Tensors that the CPU operators make: large ones from the output pool.
#include <string.h>

#include "../memory.h"
#include "../tensors.h"

namespace lrnn {

Tensor new_tensor(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, ScalarType type) {
  int64_t bytes = scalar_bytes(type);
  for (const int64_t size : sizes) bytes *= size;
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU, -1);
  if (bytes >= static_cast<int64_t>(memory::kPoolThreshold) && memory::stats().limit > 0) {
    void* const block = memory::allocate(bytes);
    if (memory::poison()) memset(block, 0xff, bytes);
    return torch::stable::from_blob(block, {sizes.data(), sizes.size()}, {strides.data(), strides.size()}, cpu, type, memory::release);
  }
  const Tensor fresh = torch_empty(sizes, strides, type, cpu.type(), cpu.index());
  if (bytes > 0 && memory::poison()) memset(fresh.mutable_data_ptr(), 0xff, bytes);
  return fresh;
}

}  // namespace lrnn
