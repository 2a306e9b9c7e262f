#include "run.h"

#include <atomic>
#include <memory>
#include <thread>

namespace lrnn {
namespace {

enum class Direction { forward, backward };

// One split sequence is a chain of pieces: each needs the carry that the piece before it leaves. A worker summarizes its
// piece as an affine map, which needs no carry and brings the piece into L2, waits for the carry that arrives, hands the next one on,
// and only then computes outputs. Pieces are taken in order from one counter, so whoever waits, waits for somebody who works:
// this cannot deadlock on any number of threads, and the arithmetic never depends on their number.
struct Chain {
  const Kernels& kernels;
  const ScanArgs& args;
  const Plan plan;
  const Direction direction;
  const int64_t blocks, chunks, lanes, carry_bytes;
  std::unique_ptr<char[]> carries;  // [lane][chunk] -> the carry that enters the piece
  std::unique_ptr<std::atomic<bool>[]> arrived;
  std::atomic<int64_t> next{0};

  Chain(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry, Direction direction)
      : kernels(kernels),
        args(args),
        plan(plan),
        direction(direction),
        blocks(plan.blocks(args.C)),
        chunks(plan.chunks(args.T)),
        lanes(args.B * blocks),
        carry_bytes(plan.block * carry.bytes_per_channel),
        carries(new char[lanes * chunks * carry_bytes]),
        arrived(new std::atomic<bool>[lanes * chunks]) {
    for (int64_t i = 0; i < lanes * chunks; ++i) arrived[i].store(false, std::memory_order_relaxed);
  }

  // order counts pieces the way the carry travels; the backward pass starts at the end of the sequence.
  Task task(int64_t lane, int64_t order) const {
    const int64_t chunk = direction == Direction::forward ? order : chunks - 1 - order;
    Task k;
    k.b = lane / blocks;
    k.c0 = lane % blocks * plan.block;
    k.c1 = std::min(k.c0 + plan.block, args.C);
    k.s0 = chunk * plan.chunk;
    k.s1 = std::min(k.s0 + plan.chunk, args.T);
    k.slot = k.b * chunks + chunk;
    return k;
  }

  void work() {
    const auto run = direction == Direction::forward ? kernels.forward : kernels.backward;
    const auto summarize = direction == Direction::forward ? kernels.summarize_forward : kernels.summarize_backward;
    const auto combine = direction == Direction::forward ? kernels.combine_forward : kernels.combine_backward;
    const std::unique_ptr<char[]> map(new char[2 * carry_bytes]);
    for (;;) {
      const int64_t id = next.fetch_add(1);
      if (id >= lanes * chunks) return;
      const int64_t lane = id % lanes, order = id / lanes;
      Task k = task(lane, order);
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
      for (int spins = 0; !flag->load(std::memory_order_acquire); ++spins)
        if (spins > 1000) std::this_thread::yield();
      if (!last) {
        combine(map.get(), entering, entering + carry_bytes, k.c1 - k.c0);
        flag[1].store(true, std::memory_order_release);
      }
      // The piece's own end state differs from the combined carry by rounding; the combined one is what travels on.
      k.carry_in = entering;
      k.carry_out = last ? nullptr : map.get();
      run(args, k);
    }
  }
};

void run(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry, ParallelFor parallel, Direction direction) {
  Chain chain(kernels, args, plan, carry, direction);
  if (chain.chunks > 1) {
    auto work = [](void* context, int64_t) { static_cast<Chain*>(context)->work(); };
    return parallel(plan.threads, work, &chain);
  }
  auto work = [](void* context, int64_t lane) {
    const Chain& chain = *static_cast<Chain*>(context);
    const Task k = chain.task(lane, 0);
    (chain.direction == Direction::forward ? chain.kernels.forward : chain.kernels.backward)(chain.args, k);
  };
  if (plan.threads == 1) {
    for (int64_t lane = 0; lane < chain.lanes; ++lane) work(&chain, lane);
  } else {
    parallel(chain.lanes, work, &chain);
  }
}

}  // namespace

void run_forward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry, ParallelFor parallel) {
  run(kernels, args, plan, carry, parallel, Direction::forward);
}

void run_backward(const Kernels& kernels, const ScanArgs& args, const Plan& plan, CarryType carry, ParallelFor parallel) {
  run(kernels, args, plan, carry, parallel, Direction::backward);
}

}  // namespace lrnn
