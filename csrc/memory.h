// The output pool: large outputs without page faults.
//
// The C library returns a large buffer to the system as soon as it is freed, so that every training step maps and faults in its
// outputs anew, which costs several times the kernel itself. Blocks of 1 MiB and more come from here instead: mappings on huge
// pages, kept when freed, up to a limit.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace lrnn::memory {

inline constexpr size_t kPoolThreshold = 1 << 20;

inline constexpr size_t kPage = 4096;

void* allocate(size_t bytes, size_t offset);  // offset < kPage bytes into a page; throws std::bad_alloc
void release(void* block);                    // back to the pool, or to the system beyond the limit

struct Stats {
  int64_t in_use, cached, limit, mapped_total;  // bytes; mapped_total only grows: its growth is the page faults
};
Stats stats();

void set_limit(int64_t bytes);  // of cached blocks; 0 switches the pool off
void empty_cache();             // unmaps all cached blocks

// For tests: fills every block handed out with NaN bytes, so that an element that no kernel wrote is seen.
void set_poison(bool on);
bool poison();

}  // namespace lrnn::memory
