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

// Whole huge pages, and a small one for what an offset pushes over their end.
size_t rounded(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage + kPage; }

// By default an eighth of the machine's memory may stay cached; LRNN_POOL_MB sets another limit in MiB.
int64_t default_limit() {
  if (const char* wanted = getenv("LRNN_POOL_MB"); wanted && *wanted) return std::max(0L, atol(wanted)) << 20;
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE) / 8;
}

struct Pool {
  std::mutex mutex;
  std::unordered_map<void*, size_t> in_use;
  std::multimap<size_t, void*> cached;
  int64_t in_use_bytes = 0, cached_bytes = 0, mapped_total = 0, limit = default_limit();
  bool poison = false;
};

// Never destroyed: tensors may be released after static destructors have run.
Pool& pool() {
  static Pool* const instance = [] {
    auto* const created = new Pool;
    // A child must not inherit a mutex that some other thread of its parent held.
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
    return created;
  }();
  return *instance;
}

void* map_block(size_t size) {
  // Over-allocate by a huge page and trim, since mmap promises only page alignment.
  char* const raw = static_cast<char*>(mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (raw == MAP_FAILED) throw std::bad_alloc();
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  if (head) munmap(raw, head);
  munmap(raw + head + size, kHugePage - head);
#if defined(MADV_HUGEPAGE)
  madvise(raw + head, size, MADV_HUGEPAGE);
#endif
  return raw + head;
}

// Unmaps cached blocks, largest first, until they fit the limit. The mutex is held.
void trim(Pool& p, int64_t limit) {
  while (p.cached_bytes > limit) {
    const auto largest = std::prev(p.cached.end());
    munmap(largest->second, largest->first);
    p.cached_bytes -= largest->first;
    p.cached.erase(largest);
  }
}

}  // namespace

void* allocate(size_t bytes, size_t offset) {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  size_t size = rounded(bytes);
  void* block;
  // The smallest cached block that fits, unless it would waste more than it holds.
  const auto fit = p.cached.lower_bound(size);
  if (fit != p.cached.end() && fit->first <= 2 * size) {
    size = fit->first;
    block = fit->second;
    p.cached_bytes -= size;
    p.cached.erase(fit);
  } else {
    block = map_block(size);
    p.mapped_total += size;
  }
  p.in_use.emplace(block, size);
  p.in_use_bytes += size;
  return static_cast<char*>(block) + offset;
}

void release(void* data) {
  void* const block = static_cast<char*>(data) - reinterpret_cast<uintptr_t>(data) % kHugePage;
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  const auto found = p.in_use.find(block);
  const size_t size = found->second;
  p.in_use.erase(found);
  p.in_use_bytes -= size;
  // In front of others of its size, to be the next that is handed out: what was last in use is still in the caches.
  p.cached.emplace_hint(p.cached.lower_bound(size), size, block);
  p.cached_bytes += size;
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

void empty_cache() {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  trim(p, 0);
}

void set_poison(bool on) { pool().poison = on; }
bool poison() { return pool().poison; }

}  // namespace lrnn::memory
