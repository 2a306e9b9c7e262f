#include "plan.h"

#include <algorithm>

namespace lrnn {
namespace {

// A chunk is read twice, composed, and waits for one more launch: it must be worth it.
constexpr int64_t kTilesPerChunk = 4;
// Chunks are numbered by the second dimension of a grid.
constexpr int64_t kMaxChunks = 65535;

// Threads that keep the arithmetic of a multiprocessor busy: its four schedulers need about two
// warps each, of which one computes while the other waits for its chain.
constexpr int64_t kBusyThreads = 256;
// A backward pass of a step cell in chunks reads everything twice, of which the first time computes
// more than the second: that pays where it keeps so many times more threads busy (python -m
// benchmarks.gpu model knows what it gains), in at least kFewestChunks. A chunk must be longer than
// it takes to start it; and it applies the maps of those before it, one after another, which at 16
// in 300 ns is 5 us for the last.
constexpr int64_t kWorthThreads = 16, kFewestChunks = 8, kStepsPerChunk = 128, kMaxStepChunks = 256;
// The part of the L2 cache that a workspace may take: streams pass through the rest.
constexpr int64_t kCacheShare = 2;

int64_t divide_up(int64_t x, int64_t y) { return (x + y - 1) / y; }

}  // namespace

GpuPlan make_gpu_plan(const GpuProblem& p, const Gpu& gpu) {
  GpuPlan plan{kGpuPlainThreads, 1, std::max<int64_t>(p.T, 1)};
  const int64_t lanes = std::max<int64_t>(p.lanes, 1), in_flight = lanes * p.bytes_loaded;

  // The fewest groups that keep the memory busy, of which every one has steps to do.
  while (plan.groups * in_flight < gpu.bytes_in_flight && plan.groups < kGpuWarp &&
         plan.groups * p.steps < p.T)
    plan.groups *= 2;
  if (plan.groups == 1) {
    plan.lanes = std::min(kGpuPlainThreads, divide_up(lanes, kGpuWarp) * kGpuWarp);
    return plan;
  }
  plan.lanes = std::min(kGpuWarp, kGpuThreads / plan.groups);

  const int64_t tile = plan.groups * p.steps,
                wanted = gpu.bytes_in_flight / (plan.groups * in_flight);
  if (wanted >= 2) {
    // If there are chunks at all, then a block for every multiprocessor: tiles hold fewer bytes
    // where a pass does not use all streams.
    const int64_t chunks = std::max(wanted, gpu.multiprocessors / divide_up(lanes, plan.lanes));
    const int64_t tiles = std::max({divide_up(divide_up(p.T, chunks), tile), kTilesPerChunk,
                                    divide_up(divide_up(p.T, kMaxChunks), tile)});
    if (tiles * tile < p.T) plan.chunk = tiles * tile;
  }
  return plan;
}

bool is_valid(const GpuPlan& plan, int64_t T) {
  const int64_t threads = plan.lanes * plan.groups;
  if (plan.lanes < 1 || plan.groups < 1 || threads > kGpuThreads || threads % kGpuWarp != 0)
    return false;
  // The groups of a lane meet in shuffles, so lanes divide a warp.
  if (plan.groups > 1 && (plan.lanes > kGpuWarp || kGpuWarp % plan.lanes != 0)) return false;
  return plan.chunk >= 1 && plan.chunks(T) <= kMaxChunks;
}

GpuStepPlan make_gpu_step_plan(const GpuStepProblem& p, const Gpu& gpu) {
  const auto lanes_of = [&](int64_t channels) {
    return std::max<int64_t>(p.B * divide_up(p.C, channels), 1);
  };
  // A wide lane does the same work with fewer instructions around it, but in one thread: worth it
  // only where threads abound.
  const int64_t busy = std::max<int64_t>(gpu.multiprocessors, 1) * kBusyThreads;
  GpuStepPlan plan{lanes_of(p.channels) >= busy ? p.channels : 1, kGpuPlainThreads, 1,
                   std::max<int64_t>(p.T, 1)};
  const int64_t lanes = lanes_of(plan.channels);
  int64_t chunks = 1;
  if (p.may_cut && busy / lanes >= kWorthThreads) {
    const int64_t steps =
        std::max(divide_up(p.T, std::min(busy / lanes, kMaxStepChunks)), kStepsPerChunk);
    if (divide_up(p.T, steps) >= kFewestChunks) plan.chunk = steps;
    chunks = plan.chunks(p.T);
  }
  // Small blocks where lanes are few, so that every multiprocessor has some.
  while (plan.threads > kGpuWarp && lanes * chunks < plan.threads * gpu.multiprocessors)
    plan.threads /= 2;
  plan.blocks = divide_up(lanes, plan.threads);
  if (p.workspace_bytes > 0) {
    const int64_t fit =
        gpu.cache_bytes / kCacheShare / (plan.threads * plan.channels) / p.workspace_bytes;
    plan.blocks = std::min(plan.blocks, std::max(fit, divide_up(busy, plan.threads)));
  }
  return plan;
}

bool is_valid(const GpuStepPlan& plan, const GpuStepProblem& p) {
  if (plan.channels != 1 && plan.channels != p.channels) return false;
  if (plan.chunk < 1 || plan.chunks(p.T) > kMaxChunks) return false;
  if (plan.chunks(p.T) > 1 && (!p.may_cut || plan.channels != 1)) return false;
  if (plan.threads < 1 || plan.threads > kGpuPlainThreads || plan.threads % kGpuWarp != 0)
    return false;
  const int64_t needed = divide_up(p.B * divide_up(p.C, plan.channels), plan.threads);
  return plan.blocks >= 1 && (plan.blocks >= needed || p.workspace_bytes > 0);
}

// Rather another group than another element.
GpuMatrixLayout make_gpu_matrix_layout(const GpuMatrixProblem& p, const Gpu& gpu) {
  const int terms = static_cast<int>(p.terms), bytes = static_cast<int>(p.number_bytes),
            width = matrix_width(p.C), slice = matrix_slice(terms, width, bytes);
  if (slice == width) return {1, p.B, 1};
  const int64_t blocks = divide_up(p.C, slice), most = gpu.multiprocessors / blocks;
  if (most == 0 || p.B == 0) return {blocks, 0, 1};
  const int64_t at_a_time = matrix_elements(static_cast<int>(p.vectors), bytes),
                elements = std::min(divide_up(p.B, most), at_a_time);
  return {blocks, std::min(divide_up(p.B, elements), most), elements};
}

}  // namespace lrnn
