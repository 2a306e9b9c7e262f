// Compiled without contraction of products and sums, and with GCC's own vectors: once per
// instruction set.
#include "noise.h"

#include "../neurons/noise.h"

namespace lrnn::LRNN_ISA {
namespace {

void draw_block(const NoiseArgs& args, NoiseLanes& lanes, uint64_t block) {
  lanes.block = static_cast<int64_t>(block);
  for (int i = 0; i < kNoiseLanes; ++i) {
    noise_block(args.seed, block, lanes.low[i], lanes.high[i], lanes.white[0][i], lanes.white[1][i],
                lanes.white[2][i], lanes.white[3][i]);
  }
}

// Sample m of the white noise, through the filter.
void filter(const NoiseArgs& args, NoiseLanes& lanes, uint64_t m) {
  if (lanes.block != static_cast<int64_t>(m >> 2)) draw_block(args, lanes, m >> 2);
  const float* const white = lanes.white[m & 3];
  for (int i = 0; i < kNoiseLanes; ++i) {
    float x = white[i];
#pragma GCC unroll 4
    for (int k = 0; k < kNoiseSections; ++k)
      x = noise_section(args.sections[k & 1], lanes.s1[k][i], lanes.s2[k][i], x);
    lanes.now[i] = lanes.next[i];
    lanes.next[i] = x;
  }
}

}  // namespace

void fill_noise(const NoiseArgs& args, NoiseLanes& lanes, int64_t first, int64_t count,
                float (*rows)[kNoiseLanes]) {
  for (int64_t step = first; step < first + count; ++step, ++rows) {
    const int64_t within = step % args.every;
    if (within == 0)
      filter(args, lanes, static_cast<uint64_t>(step / args.every + 1 + args.warm_up));
    const float w =
        static_cast<float>((static_cast<double>(within) + 0.5) / static_cast<double>(args.every));
    for (int i = 0; i < kNoiseLanes; ++i)
      (*rows)[i] = noise_between(lanes.now[i], lanes.next[i], w);
  }
}

}  // namespace lrnn::LRNN_ISA
