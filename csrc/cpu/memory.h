// The output pool: large outputs without page faults.
//
// The C library returns a large buffer to the system as soon as it is freed, so that every training
// step maps and faults in its outputs anew, which costs several times the kernel itself. Blocks of
// 1 MiB and more come from here instead: mappings on huge pages, kept when freed, up to a limit.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <new>
#include <vector>

namespace lrnn::memory {

inline constexpr size_t kPoolThreshold = 1 << 20;

inline constexpr size_t kPage = 4096;

// What is thrown where memory ends. torch/operator.h gives back what is cached, runs the operator
// once more, and only then tells the user.
struct OutOfMemory : std::bad_alloc {
  size_t bytes;  // that were asked for
  explicit OutOfMemory(size_t bytes) : bytes(bytes) {}
  const char* what() const noexcept override { return "out of memory"; }
};
// Kernels, which are compiled once per instruction set and must share no inline code, throw it by
// this.
[[noreturn]] void out_of_memory(size_t bytes);

void* allocate(size_t bytes,
               size_t offset);  // offset < kPage bytes into a page; throws OutOfMemory
void release(
    void* block);  // back to the pool, or to the system beyond the limit; allocates nothing

// A working array.
template <class T>
std::vector<T> array(int64_t count, T value = T{}) try {
  return std::vector<T>(count, value);
} catch (const std::bad_alloc&) {
  throw OutOfMemory(count * sizeof(T));
}

struct Stats {
  int64_t in_use, cached, limit,
      mapped_total;  // bytes; mapped_total only grows: its growth is the page faults
};
Stats stats();

void set_limit(int64_t bytes);  // of cached blocks; 0 switches the pool off
int64_t empty_cache();          // unmaps all cached blocks; how many bytes they held

// For tests: fills every block handed out with NaN bytes, so that an element that no kernel wrote
// is seen.
void set_poison(bool on);
bool poison();

}  // namespace lrnn::memory
