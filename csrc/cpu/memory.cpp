#include "memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace lrnn::memory {
namespace {

constexpr size_t kHugePage = 2 << 20;

constexpr unsigned long long kMostMebibytes = INT64_MAX >> 20;

// Whole huge pages, and a small one for what an offset pushes over their end.
size_t rounded(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage + kPage; }

// By default an eighth of the machine's memory may stay cached; LRNN_POOL_MB sets another limit in
// MiB. lrnn_kernels/memory.py refuses what is no such number; where no Python is, it counts as not
// set.
int64_t default_limit() {
  const char* const wanted = getenv("LRNN_POOL_MB");
  const size_t length = wanted ? strlen(wanted) : 0;
  if (length > 0 && strspn(wanted, "0123456789") == length)
    return std::min(strtoull(wanted, nullptr, 10), kMostMebibytes) << 20;
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE) / 8;
}

// Blocks that are free, by size. A block in use keeps its node: to hand it back, nothing need be
// allocated, which at the end of memory would fail in a destructor.
using Cached = std::multimap<size_t, void*>;

struct Pool {
  std::mutex mutex;
  std::unordered_map<void*, Cached::node_type> in_use;
  Cached cached;
  int64_t in_use_bytes = 0, cached_bytes = 0, mapped_total = 0, limit = default_limit();
  bool poison = false;
};

// Never destroyed: tensors may be released after static destructors have run.
Pool& pool() {
  static Pool* const instance = [] {
    auto* const created = new Pool;
    // A child must not inherit a mutex that some other thread of its parent held.
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); },
                   [] { pool().mutex.unlock(); });
    return created;
  }();
  return *instance;
}

// Null where the system has no memory left.
void* map_block(size_t size) {
  // Over-allocate by a huge page and trim, since mmap promises only page alignment.
  char* const raw = static_cast<char*>(
      mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (raw == MAP_FAILED) return nullptr;
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  if (head) munmap(raw, head);
  munmap(raw + head + size, kHugePage - head);
#if defined(MADV_HUGEPAGE)
  madvise(raw + head, size, MADV_HUGEPAGE);
#endif
  return raw + head;
}

// Unmaps cached blocks, largest first, until they fit the limit; how many bytes they held. The
// mutex is held.
int64_t trim(Pool& p, int64_t limit) {
  const int64_t before = p.cached_bytes;
  while (p.cached_bytes > limit) {
    const auto largest = std::prev(p.cached.end());
    // To unmap what lies between others splits a mapping, of which a process may have only so many.
    if (munmap(largest->second, largest->first) != 0) break;
    p.cached_bytes -= largest->first;
    p.cached.erase(largest);
  }
  return before - p.cached_bytes;
}

// A block of at least that size, of the pool's or new. The mutex is held.
Cached::node_type take(Pool& p, size_t size) {
  // The smallest cached block that fits, unless it would waste more than it holds.
  const auto fit = p.cached.lower_bound(size);
  if (fit != p.cached.end() && fit->first <= 2 * size) {
    p.cached_bytes -= fit->first;
    return p.cached.extract(fit);
  }
  Cached one;
  const auto block = one.emplace(size, nullptr);  // before what it would lose
  block->second = map_block(size);
  if (!block->second && trim(p, 0) > 0) block->second = map_block(size);
  if (!block->second) throw std::bad_alloc();
  p.mapped_total += size;
  return one.extract(block);
}

// Makes a block the first of its size, to be the next that is handed out: what was last in use is
// still in the caches. The mutex is held.
void put(Pool& p, Cached::node_type&& node) {
  p.cached_bytes += node.key();
  p.cached.insert(p.cached.lower_bound(node.key()), std::move(node));
}

}  // namespace

void out_of_memory(size_t bytes) { throw OutOfMemory(bytes); }

void* allocate(size_t bytes, size_t offset) try {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  Cached::node_type node = take(p, rounded(bytes));
  void* const block = node.mapped();
  const size_t size = node.key();
  try {
    p.in_use.try_emplace(block).first->second = std::move(node);
  } catch (...) {
    put(p, std::move(node));  // which has not been moved from
    throw;
  }
  p.in_use_bytes += size;
  return static_cast<char*>(block) + offset;
} catch (const std::bad_alloc&) {
  throw OutOfMemory(bytes);
}

void release(void* data) {
  void* const block = static_cast<char*>(data) - reinterpret_cast<uintptr_t>(data) % kHugePage;
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  const auto found = p.in_use.find(block);
  Cached::node_type node = std::move(found->second);
  p.in_use.erase(found);
  p.in_use_bytes -= node.key();
  put(p, std::move(node));
  trim(p, p.limit);
}

Stats stats() {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  return {p.in_use_bytes, p.cached_bytes, p.limit, p.mapped_total};
}

void set_limit(int64_t bytes) {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  p.limit = bytes;
  trim(p, bytes);
}

int64_t empty_cache() {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  return trim(p, 0);
}

void set_poison(bool on) { pool().poison = on; }
bool poison() { return pool().poison; }

}  // namespace lrnn::memory
