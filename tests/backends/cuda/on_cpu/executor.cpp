// Runs a grid: every resident block on a processor thread of its own, every thread of a block as a
// fiber of it.
//
// A block goes in rounds. In each, every thread that can run does, until it waits or returns; then
// barriers that all have reached open. A round in which nobody can run is a deadlock, which ends
// the launch with a message instead of hanging. Where all blocks run at a time they may wait for
// one another: now and then one is late, so that others go on for as long as they can without it.
#include "executor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fiber.h"

namespace cuda_on_cpu {
namespace {

constexpr size_t kStackBytes = 256
                               << 10;  // sanitizers' frames are large; untouched pages cost nothing
constexpr size_t kStacksKept =
    256;  // between launches, in each library; each is two mappings, of some 65,000 of a process
constexpr uint64_t kRestsAllowed = 300000;  // of one thread that waits for another: a second
constexpr unsigned kLate = 32;              // of so many rounds, a block is late once
constexpr auto kLateBy = std::chrono::milliseconds(2);

unsigned g_resident = 4, g_seed = 0;
std::string g_message;

struct Launch {
  dim3 grid, block;
  bool together;
  void (*body)(void*);
  void* context;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::string message;

  void fail(const std::string& why) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!failed.exchange(true)) message = why;
  }
};

// Stacks, with a page between them that may not be touched unless they are too many for that.
class Stacks {
 public:
  Stacks(size_t count, bool guarded) : count_(count), page_(sysconf(_SC_PAGESIZE)) {
    void* const p = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) no_stacks(count);
    memory_ = static_cast<char*>(p);
    for (size_t i = 0; guarded && i < count; ++i)
      if (mprotect(memory_ + i * kStackBytes, page_, PROT_NONE) != 0) no_stacks(count);
  }
  ~Stacks() { munmap(memory_, count_ * kStackBytes); }
  size_t count() const { return count_; }
  char* at(size_t i) const { return memory_ + i * kStackBytes + page_; }
  size_t bytes() const { return kStackBytes - page_; }

 private:
  [[noreturn]] static void no_stacks(size_t count) {
    fprintf(stderr, "no memory, or too many mappings, for the stacks of %zu threads: %s\n", count,
            strerror(errno));
    abort();
  }

  size_t count_, page_;
  char* memory_;
};

class StackPool {
 public:
  std::unique_ptr<Stacks> take(size_t count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& stacks : free_)
      if (stacks->count() >= count) {
        std::swap(stacks, free_.back());
        auto taken = std::move(free_.back());
        free_.pop_back();
        kept_ -= taken->count();
        return taken;
      }
    return std::make_unique<Stacks>(count, true);
  }
  void give_back(std::unique_ptr<Stacks> stacks) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (kept_ + stacks->count() > kStacksKept) return;
    kept_ += stacks->count();
    free_.push_back(std::move(stacks));
  }

 private:
  std::mutex mutex_;
  size_t kept_ = 0;
  std::vector<std::unique_ptr<Stacks>> free_;
} g_stacks;

enum class State { ready, at_barrier, at_warp_barrier, returned };

struct Thread {
  dim3 index;
  unsigned lane = 0, warp = 0;
  State state = State::ready;
  unsigned mask = 0;   // of the warp barrier it waits at
  uint64_t shown = 0;  // see show()
  uint64_t rests = 0;
  std::unique_ptr<Fiber> fiber;
};

// Addresses for signal and observe, which threads that wait for one another take in turn: one that
// leaves a barrier does not observe what others, which have left it before, have done until they
// came to the next.
struct Meeting {
  char* place() { return &arrived[opened % 2]; }

  unsigned opened = 0;
  char arrived[2] = {};
};

class Block;
thread_local Block* t_block = nullptr;

class Block {
 public:
  Block(Launch& launch, uint64_t number, const Stacks& stacks)
      : launch(launch), random_(g_seed * 7919 + static_cast<unsigned>(number) + 1) {
    const dim3 grid = launch.grid, size = launch.block;
    index = dim3(number % grid.x, number / grid.x % grid.y, number / (uint64_t{grid.x} * grid.y));
    threads_ = std::vector<Thread>(size.x * size.y * size.z);
    warps_.resize((threads_.size() + kWarp - 1) / kWarp);
    for (unsigned i = 0; i < threads_.size(); ++i) {
      Thread& thread = threads_[i];
      thread.index = dim3(i % size.x, i / size.x % size.y, i / (size.x * size.y));
      thread.lane = i % kWarp;
      thread.warp = i / kWarp;
      thread.fiber = std::make_unique<Fiber>(&Block::start, stacks.at(i), stacks.bytes());
      order_.push_back(i);
    }
  }

  void run() {
    t_block = this;
    signal(&started_);
    while (!all_returned() && !launch.failed) {
      if (g_seed) std::shuffle(order_.begin(), order_.end(), random_);
      if (g_seed && launch.together && random_() % kLate == 0) std::this_thread::sleep_for(kLateBy);
      bool progress = false;
      for (const unsigned i : order_) {
        if (threads_[i].state != State::ready) continue;
        progress = true;
        current = &threads_[i];
        scheduler_.switch_to(*current->fiber);
      }
      progress |= open_warp_barriers();
      progress |= open_block_barrier();
      if (!progress && !all_returned()) launch.fail(describe("deadlock"));
    }
    observe(&ended_);
    t_block = nullptr;
  }

  // Called by the running thread: gives the processor back, in this state.
  void wait(State state) {
    current->state = state;
    current->fiber->switch_to(scheduler_);
  }

  // The same, for others: what they have done before is done once it goes on.
  void wait(State state, Meeting& others) {
    char* const arrived = others.place();
    signal(arrived);
    wait(state);
    observe(arrived);
  }

  bool barrier(bool vote) {
    votes_ |= vote;
    wait(State::at_barrier, all_);
    return outcome_;
  }

  void warp_barrier(unsigned mask) {
    if (!(mask >> current->lane & 1)) {
      launch.fail(describe("a warp operation by a lane outside its mask"));
      wait(State::at_warp_barrier);
    }
    current->mask = mask;
    wait(State::at_warp_barrier, warps_[current->warp][mask]);
  }

  void rest() {
    if (++current->rests > kRestsAllowed) launch.fail(describe("waiting without end"));
    if (current->rests % 16 == 0) std::this_thread::yield();
    wait(State::ready);
  }

  uint64_t shown_by(unsigned lane) const { return threads_[current->warp * kWarp + lane].shown; }

  Launch& launch;
  dim3 index;
  Thread* current = nullptr;

 private:
  static void start();

  bool all_returned() const {
    return std::all_of(threads_.begin(), threads_.end(),
                       [](const Thread& t) { return t.state == State::returned; });
  }

  bool open_block_barrier() {
    if (std::any_of(threads_.begin(), threads_.end(), [](const Thread& t) {
          return t.state < State::returned && t.state != State::at_barrier;
        }))
      return false;
    bool opened = false;
    for (Thread& thread : threads_)
      if (thread.state == State::at_barrier) {
        thread.state = State::ready;
        opened = true;
      }
    outcome_ = votes_;
    votes_ = false;
    all_.opened += opened;
    return opened;
  }

  bool open_warp_barriers() {
    bool opened = false;
    for (size_t first = 0; first < threads_.size(); first += kWarp)
      for (unsigned lane = 0; lane < kWarp && first + lane < threads_.size(); ++lane)
        if (threads_[first + lane].state == State::at_warp_barrier &&
            all_wait(first, threads_[first + lane].mask)) {
          meet(first, threads_[first + lane].mask);
          opened = true;
        }
    return opened;
  }

  // Lets the lanes of a mask go on.
  void meet(size_t first, unsigned mask) {
    for (unsigned i = 0; i < kWarp && first + i < threads_.size(); ++i)
      if ((mask >> i & 1) && threads_[first + i].state == State::at_warp_barrier)
        threads_[first + i].state = State::ready;
    ++warps_[first / kWarp][mask].opened;
  }

  // Whether all lanes of a mask wait for one another. Those that have returned, or that a short
  // warp lacks, need not.
  bool all_wait(size_t first, unsigned mask) const {
    for (unsigned i = 0; i < kWarp && first + i < threads_.size(); ++i) {
      const Thread& thread = threads_[first + i];
      if (!(mask >> i & 1) || thread.state == State::returned) continue;
      if (thread.state != State::at_warp_barrier || thread.mask != mask) return false;
    }
    return true;
  }

  std::string describe(const std::string& what) const {
    const auto count = [&](State state) {
      return std::to_string(std::count_if(threads_.begin(), threads_.end(),
                                          [=](const Thread& t) { return t.state == state; }));
    };
    return what + " in block " + std::to_string(index.x) + ": of " +
           std::to_string(threads_.size()) + " threads " + count(State::at_barrier) +
           " wait at __syncthreads, " + count(State::at_warp_barrier) + " in a warp operation, " +
           count(State::returned) + " have returned";
  }

  Fiber scheduler_;
  std::vector<Thread> threads_;
  std::vector<unsigned> order_;
  std::minstd_rand random_;
  bool votes_ = false, outcome_ = false;
  Meeting all_;
  std::vector<std::map<unsigned, Meeting>> warps_;  // of each warp, by mask
  // Addresses for signal and observe. Two: one thread's end is not before another's start, though
  // they run one after the other here.
  char started_ = 0, ended_ = 0;
};

// Not inlined: a compiler may keep the address of a thread's own variable across a switch.
__attribute__((noinline)) Block& here() {
  asm volatile("");
  return *t_block;
}

void Block::start() {
  observe(&here().started_);
  here().launch.body(here().launch.context);
  signal(&here().ended_);
  here().wait(State::returned);
  abort();
}

}  // namespace

const dim3& thread_index() { return here().current->index; }
const dim3& block_index() { return here().index; }
const dim3& block_size() { return here().launch.block; }
const dim3& grid_size() { return here().launch.grid; }
unsigned lane() { return here().current->lane; }
bool block_barrier(bool vote) { return here().barrier(vote); }
void warp_barrier(unsigned mask) { here().warp_barrier(mask); }
void show(uint64_t value) { here().current->shown = value; }
uint64_t seen(unsigned lane) { return here().shown_by(lane); }
void rest() { here().rest(); }

bool launch(dim3 grid, dim3 block, bool together, void (*body)(void*), void* context) {
  Launch launch{grid, block, together, body, context};
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const unsigned threads = block.x * block.y * block.z;
  if (blocks == 0 || threads == 0 || threads > 1024)
    launch.fail("a grid of " + std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                " threads");
  if (together && blocks > kMultiprocessors)
    launch.fail("all of " + std::to_string(blocks) + " blocks at a time, of which " +
                std::to_string(kMultiprocessors) + " can run");
  const auto work = [&] {
    auto stacks = together ? std::make_unique<Stacks>(threads, false) : g_stacks.take(threads);
    for (uint64_t i; !launch.failed && (i = launch.next.fetch_add(1)) < blocks;)
      Block(launch, i, *stacks).run();
    if (!together) g_stacks.give_back(std::move(stacks));
  };
  std::vector<std::thread> workers;
  for (uint64_t i = 0;
       i < (together ? blocks : std::min<uint64_t>(g_resident, blocks)) && !launch.failed; ++i)
    workers.emplace_back(work);
  for (auto& worker : workers) worker.join();
  g_message = launch.message;
  return !launch.failed;
}

}  // namespace cuda_on_cpu

extern "C" {
void cuda_on_cpu_configure(unsigned resident, unsigned seed) {
  cuda_on_cpu::g_resident = std::max(resident, 1u);
  cuda_on_cpu::g_seed = seed;
}
const char* cuda_on_cpu_message() { return cuda_on_cpu::g_message.c_str(); }
}
