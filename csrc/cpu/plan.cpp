#include "plan.h"

#include <algorithm>

namespace lrnn {
namespace {

// Waking a second thread costs microseconds when it is hot and milliseconds when it sleeps: what it
// takes over must take longer.
constexpr int64_t kBytesPerThread = 512 << 10;

// A piece of a split sequence is read twice, the second time from L2: large enough to hide the
// hand-over of the carry, small enough to stay there. Where there are pieces enough, they are
// larger, which spreads what begins and ends a task.
constexpr int64_t kChunkBytes = 192 << 10, kMostChunkBytes = 512 << 10, kChunksPerThread = 4;

// Pieces start on a whole word of saved bits and on a whole flush of parameter sums.
constexpr int64_t kChunkMultiple = 64;

constexpr int64_t kLineChannels =
    64;  // channel blocks end on cache lines whatever the element size

}  // namespace

Plan make_plan(const Problem& p, const Machine& machine) {
  Plan plan;
  const int64_t total = p.B * p.T * p.step_bytes;
  const int64_t work = p.B * p.T * std::max(p.step_bytes, p.cost_bytes);
  plan.threads =
      std::clamp<int64_t>(work / kBytesPerThread, 1, std::max<int64_t>(machine.threads, 1));
  plan.block = std::min(p.C, p.channels_per_row);
  plan.chunk = std::max<int64_t>(p.T, 1);
  // Filling the cache is slower than passing it by, and others may have their share of it.
  plan.nontemporal = p.aligned && total > machine.last_level_cache / 8 * 5;
  if (plan.threads == 1) return plan;

  // Too few (batch, block) lanes for the threads. Splitting time keeps whole rows together and is
  // preferred where there are enough steps; otherwise channels are shared out in whole cache lines.
  // A split reads its inputs twice, so two threads win nothing by it: one moves one sequence as
  // fast as it would copy it. Nor do they by parts of rows.
  const int64_t lanes = p.B * plan.blocks(p.C);
  if (lanes >= plan.threads) return plan;
  const auto steps_of = [&](int64_t bytes) {
    const int64_t steps = std::max<int64_t>(bytes / std::max<int64_t>(p.step_bytes, 1), 1);
    return (steps + kChunkMultiple - 1) / kChunkMultiple * kChunkMultiple;
  };
  const int64_t chunk = steps_of(kChunkBytes),
                share = p.T / (kChunksPerThread * plan.threads) / kChunkMultiple * kChunkMultiple;
  if (!p.sequential && p.T >= 2 * chunk * plan.threads) {
    if (plan.threads > 2)
      plan.chunk = std::clamp(share, chunk, steps_of(kMostChunkBytes));
    else
      plan.threads = 1;
  } else {
    const int64_t blocks = (plan.threads + p.B - 1) / p.B;
    const int64_t block =
        ((p.C + blocks - 1) / blocks + kLineChannels - 1) / kLineChannels * kLineChannels;
    plan.block = std::min(plan.block, block);
  }
  return plan;
}

Plan make_map_plan(const Problem& p, const Machine& machine) {
  Plan plan = make_plan(p, {1, machine.last_level_cache});
  plan.threads = std::clamp<int64_t>(p.B * p.T * p.step_bytes / kBytesPerThread, 1,
                                     std::max<int64_t>(machine.threads, 1));
  const int64_t lanes = std::max<int64_t>(p.B * plan.blocks(p.C), 1);
  if (lanes < plan.threads) {
    const int64_t pieces = (plan.threads + lanes - 1) / lanes, steps = (p.T + pieces - 1) / pieces;
    plan.chunk = (steps + kChunkMultiple - 1) / kChunkMultiple * kChunkMultiple;
  }
  return plan;
}

}  // namespace lrnn
