// Tensors that the CPU operators make: large ones from the output pool.
#include <string.h>

#include <algorithm>

#include "../cpu/memory.h"
#include "tensors.h"

namespace lrnn {
namespace {

// Where in a page rows that lie step bytes apart should begin. A processor tells by the low 12 bits
// of two addresses whether a load must wait for a store before it. Where what is stored lies at the
// same place in its page as what is loaded a little later, loads wait for stores that have nothing
// to do with them. So rows begin as far as possible
// from all others.
size_t place_in_page(const Beside& beside, int64_t step) {
  constexpr int64_t kPage = memory::kPage, kApart = 128;
  int64_t best = 0, best_distance = -1;
  for (int64_t place = 0; place < kPage; place += kApart) {
    int64_t nearest = kPage;
    for (int i = 0; i < beside.count; ++i) {
      // Rows of another length move on by it from step to step, and come by all places that differ
      // by a multiple of this.
      const int64_t moves = (step - beside.streams[i].step) | kPage,
                    period = moves & -moves;  // a power of 2
      const int64_t ahead =
          (place - reinterpret_cast<intptr_t>(beside.streams[i].first)) & (period - 1);
      nearest = std::min({nearest, ahead, period - ahead});
    }
    if (nearest > best_distance) best = place, best_distance = nearest;
  }
  return best;
}

// The block that this thread gave back last.
thread_local const void* released = nullptr;

void release(void* block) {
  released = block;
  memory::release(block);
}

// A tensor over a block of the pool.
Tensor pooled(int64_t bytes, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
              ScalarType type, const Beside& beside) {
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU, -1);
  const int64_t step = sizes.size() > 1 ? strides[sizes.size() - 2] * scalar_bytes(type) : 0;
  void* const block = memory::allocate(bytes, place_in_page(beside, step));
  released = nullptr;
  try {
    return torch::stable::from_blob(block, {sizes.data(), sizes.size()},
                                    {strides.data(), strides.size()}, cpu, type, release);
  } catch (const std::exception&) {  // torch, too, needs memory; whether it has called release by
                                     // then depends on where it failed
    if (released != block) memory::release(block);
    memory::out_of_memory(bytes);
  }
}

Tensor unpooled(int64_t bytes, const std::vector<int64_t>& sizes,
                const std::vector<int64_t>& strides, ScalarType type) try {
  return torch_empty(sizes, strides, type, torch::headeronly::DeviceType::CPU, -1);
} catch (const std::exception&) {  // sizes and type are right: memory is all that it can lack
  memory::out_of_memory(bytes);
}

}  // namespace

Tensor new_tensor(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                  ScalarType type, const Beside& beside) {
  const int64_t bytes = tensor_bytes(sizes, type);
  const bool large =
      bytes >= static_cast<int64_t>(memory::kPoolThreshold) && memory::stats().limit > 0;
  const Tensor fresh =
      large ? pooled(bytes, sizes, strides, type, beside) : unpooled(bytes, sizes, strides, type);
  if (bytes > 0 && memory::poison()) memset(fresh.mutable_data_ptr(), 0xff, bytes);
  return fresh;
}

}  // namespace lrnn
