#include "run.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <thread>

#include "memory.h"

namespace lrnn {
namespace {

// Elements between two questions to the watch, tens of milliseconds at the worst. A narrow row
// takes as long as one of so many channels.
constexpr int64_t kStretch = 1 << 22, kNarrow = 32;

// Where a sequence may be interrupted: between stretches of so many steps. They end with a whole
// word of saved bits, a flush of parameter sums and, in a backward pass, an interval between saved
// states: then the results are those of the whole, bit for bit.
int64_t stretch(const ScanArgs& args, int64_t width, Direction direction) {
  constexpr int64_t kMultiple = 64;
  int64_t multiple = kMultiple;
  if (direction == Direction::backward && args.interval > 0) {
    if (args.interval >= args.T) return args.T;
    multiple = std::lcm(kMultiple, args.interval);
  }
  const int64_t steps = kStretch / std::max(width, kNarrow) / multiple * multiple;
  return std::max(steps, multiple);
}

// The part of a call that lane (batch element, block of channels) and piece of time make.
Task part_of(const ScanArgs& args, const Plan& plan, int64_t lane, int64_t chunk) {
  const int64_t blocks = plan.blocks(args.C);
  Task k;
  k.b = lane / blocks;
  k.c0 = lane % blocks * plan.block;
  k.c1 = std::min(k.c0 + plan.block, args.C);
  k.s0 = chunk * plan.chunk;
  k.s1 = std::min(k.s0 + plan.chunk, args.T);
  return k;
}

std::unique_ptr<char[]> new_rows(int64_t bytes) {
  std::unique_ptr<char[]> rows(new (std::nothrow) char[bytes]);
  if (!rows) memory::out_of_memory(bytes);
  return rows;
}

// One split sequence is a chain of pieces: each needs the carry that the piece before it leaves. A
// worker summarizes its piece as an affine map, which needs no carry and brings the piece into L2,
// waits for the carry that arrives, hands the next one on, and only then computes outputs. Pieces
// are taken in order from one counter, so whoever waits, waits for somebody who works: this cannot
// deadlock on any number of threads, and the arithmetic never depends on their number.
struct Chain {
  const Kernels& kernels;
  const ScanArgs& args;
  const Plan plan;
  const Direction direction;
  Watch& watch;
  const int64_t blocks, chunks, lanes, carry_bytes, steps;
  std::unique_ptr<char[]> carries;  // [lane][chunk] -> the carry that enters the piece
  std::unique_ptr<std::atomic<bool>[]> arrived;
  std::atomic<int64_t> next{0};

  Chain(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
        Direction direction, Watch& watch)
      : kernels(kernels),
        args(args),
        plan(plan),
        direction(direction),
        watch(watch),
        blocks(plan.blocks(args.C)),
        chunks(plan.chunks(args.T)),
        lanes(args.B * blocks),
        carry_bytes(plan.block * carry.bytes_per_channel),
        steps(stretch(args, plan.block, direction)) {
    if (chunks == 1) return;
    carries = new_carries(lanes * chunks);
    arrived.reset(new (std::nothrow) std::atomic<bool>[lanes * chunks]);
    if (!arrived) memory::out_of_memory(lanes * chunks * sizeof(std::atomic<bool>));
    for (int64_t i = 0; i < lanes * chunks; ++i) arrived[i].store(false, std::memory_order_relaxed);
  }

  std::unique_ptr<char[]> new_carries(int64_t count) const { return new_rows(count * carry_bytes); }

  // order counts pieces the way the carry travels; the backward pass starts at the end of the
  // sequence.
  Task task(int64_t lane, int64_t order) const {
    const int64_t chunk = direction == Direction::forward ? order : chunks - 1 - order;
    Task k = part_of(args, plan, lane, chunk);
    k.slot = k.b * chunks + chunk;
    return k;
  }

  // A whole lane, by one thread.
  void run_lane(int64_t lane) {
    const auto run = direction == Direction::forward ? kernels.forward : kernels.backward;
    const Task whole = task(lane, 0);
    const int64_t width = std::max(whole.c1 - whole.c0, kNarrow);
    if (args.T <= steps) {
      if (watch.go_on(args.T * width)) run(args, whole);
      return;
    }
    const std::unique_ptr<char[]> carry = new_carries(1);
    const int64_t count = (args.T + steps - 1) / steps;
    for (int64_t i = 0; i < count && watch.go_on(steps * width); ++i) {
      Task k = whole;
      k.s0 = (direction == Direction::forward ? i : count - 1 - i) * steps;
      k.s1 = std::min(k.s0 + steps, args.T);
      k.carry_in = i > 0 ? carry.get() : nullptr;
      k.carry_out = i < count - 1 ? carry.get() : nullptr;
      run(args, k);
    }
  }

  void work() try {
    const auto run = direction == Direction::forward ? kernels.forward : kernels.backward;
    const auto summarize =
        direction == Direction::forward ? kernels.summarize_forward : kernels.summarize_backward;
    const auto combine =
        direction == Direction::forward ? kernels.combine_forward : kernels.combine_backward;
    const std::unique_ptr<char[]> map = new_carries(2);
    for (;;) {
      const int64_t id = next.fetch_add(1);
      if (id >= lanes * chunks) return;
      const int64_t lane = id % lanes, order = id / lanes;
      Task k = task(lane, order);
      if (!watch.go_on((k.s1 - k.s0) * (k.c1 - k.c0))) return;
      char* const entering = carries.get() + (lane * chunks + order) * carry_bytes;
      std::atomic<bool>* const flag = &arrived[lane * chunks + order];
      if (order == 0) {  // the first piece knows its carry: one pass
        k.carry_out = entering + carry_bytes;
        run(args, k);
        flag[1].store(true, std::memory_order_release);
        continue;
      }
      const bool last = order == chunks - 1;
      if (!last) {
        k.carry_out = map.get();
        summarize(args, k);
      }
      for (int spins = 0; !flag->load(std::memory_order_acquire); ++spins) {
        if (spins <= 1000) continue;
        if (watch.stopped()) return;
        std::this_thread::yield();
      }
      if (!last) {
        combine(map.get(), entering, entering + carry_bytes, k.c1 - k.c0);
        flag[1].store(true, std::memory_order_release);
      }
      // The piece's own end state differs from the combined carry by rounding; the combined one is
      // what travels on.
      k.carry_in = entering;
      k.carry_out = last ? nullptr : map.get();
      run(args, k);
    }
  } catch (...) {
    watch.stop();  // whoever waits for this piece's carry
    throw;
  }
};

bool run(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
         ParallelFor parallel, Direction direction, Watch& watch) {
  Chain chain(kernels, args, plan, carry, direction, watch);
  if (chain.chunks > 1) {
    parallel(
        plan.threads, [](void* context, int64_t) { static_cast<Chain*>(context)->work(); }, &chain);
  } else if (plan.threads == 1) {
    for (int64_t lane = 0; lane < chain.lanes; ++lane) chain.run_lane(lane);
  } else {
    parallel(
        chain.lanes,
        [](void* context, int64_t lane) { static_cast<Chain*>(context)->run_lane(lane); }, &chain);
  }
  return !watch.stopped();
}

// The pieces that one pass reduces to maps.
struct Reduction {
  const Kernels& kernels;
  const ScanArgs& args;
  const Plan& plan;
  const Direction direction;
  Watch& watch;
  const int64_t blocks, chunks, lanes, carry_bytes, map_size;
  char* const maps;              // [lane]
  std::unique_ptr<char[]> rest;  // [piece after the first][lane]

  Reduction(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
            Direction direction, Watch& watch, char* maps)
      : kernels(kernels),
        args(args),
        plan(plan),
        direction(direction),
        watch(watch),
        blocks(plan.blocks(args.C)),
        chunks(plan.chunks(args.T)),
        lanes(args.B * blocks),
        carry_bytes(carry.bytes_per_channel),
        map_size(map_bytes(plan, carry)),
        maps(maps) {
    if (chunks > 1) rest = new_rows((chunks - 1) * lanes * map_size);
  }

  char* map(int64_t lane, int64_t order) const {
    return order == 0 ? maps + lane * map_size
                      : rest.get() + ((order - 1) * lanes + lane) * map_size;
  }

  // order counts pieces the way the carry travels.
  void reduce(int64_t lane, int64_t order) {
    const int64_t chunk = direction == Direction::forward ? order : chunks - 1 - order;
    Task k = part_of(args, plan, lane, chunk);
    k.carry_out = map(lane, order);
    if (!watch.go_on((k.s1 - k.s0) * std::max(k.c1 - k.c0, kNarrow))) return;
    if (direction == Direction::forward)
      kernels.summarize_forward(args, k);
    else
      kernels.summarize_backward(args, k);
  }

  // Puts the maps of a lane's pieces one after another, into the first. A scale is composed as a
  // carry that passes a map without an offset.
  void compose(int64_t lane, char* bare) const {
    const auto combine =
        direction == Direction::forward ? kernels.combine_forward : kernels.combine_backward;
    const Task whole = part_of(args, plan, lane, 0);
    const int64_t n = whole.c1 - whole.c0, half = n * carry_bytes;
    char* const first = map(lane, 0);
    for (int64_t order = 1; order < chunks; ++order) {
      const char* const next = map(lane, order);
      combine(next, first + half, first + half, n);
      std::copy(next, next + half, bare);
      std::fill(bare + half, bare + 2 * half, char{});
      combine(bare, first, first, n);
    }
  }
};

}  // namespace

bool run_map(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
             Direction direction, ParallelFor parallel, Watch& watch, char* maps) {
  Plan pieces = plan;
  pieces.chunk = std::min(plan.chunk, stretch(args, plan.block, direction));
  Reduction all(kernels, args, pieces, carry, direction, watch, maps);
  const int64_t tasks = all.lanes * all.chunks;
  const auto work = [](void* context, int64_t i) {
    auto& all = *static_cast<Reduction*>(context);
    all.reduce(i % all.lanes, i / all.lanes);
  };
  if (plan.threads == 1)
    for (int64_t i = 0; i < tasks; ++i) work(&all, i);
  else
    parallel(tasks, work, &all);
  if (watch.stopped()) return false;
  const std::unique_ptr<char[]> bare = new_rows(all.map_size);
  for (int64_t lane = 0; lane < all.lanes; ++lane) all.compose(lane, bare.get());
  return true;
}

bool run_forward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
                 ParallelFor parallel, Watch& watch) {
  return run(kernels, args, plan, carry, parallel, Direction::forward, watch);
}

bool run_backward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry,
                  ParallelFor parallel, Watch& watch) {
  return run(kernels, args, plan, carry, parallel, Direction::backward, watch);
}

}  // namespace lrnn
