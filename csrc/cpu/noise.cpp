// Compiled without contraction of products and sums, and with GCC's own vectors: once per
// instruction set.
#include "noise.h"

#include "../math/functions.h"

namespace lrnn::LRNN_ISA {
namespace {

constexpr float kSqrtHalf = 0x1.6a09e6p-1f;  // whose bits are kSqrtHalfBits
constexpr int32_t kSqrtHalfBits = 0x3f3504f3, kMantissa = 0x7fffff;
static_assert(__builtin_bit_cast(int32_t, kSqrtHalf) == kSqrtHalfBits);

// sqrt(-2 ln u) of u = (word's high 24 bits + 1) / 2^24.
LRNN_HD float radius(uint32_t word) {
  const float u = static_cast<float>(static_cast<int32_t>((word >> 8) + 1)) * 0x1p-24f;
  const int32_t b = __builtin_bit_cast(int32_t, u) - kSqrtHalfBits, e = b >> 23;
  const float x = __builtin_bit_cast(float, (b & kMantissa) + kSqrtHalfBits);  // u / 2^e
  const float f = x - 1.0f, s = f / (x + 1.0f), z = s * s;
  const float q = float(1.0 / 3) + z * (float(1.0 / 5) + z * (float(1.0 / 7) + z * float(1.0 / 9)));
  const float d = s + s, t = d + d * (z * q);
  const float L = static_cast<float>(e) * 0.6931471805599453f + t;
  return __builtin_sqrtf(-2.0f * L);
}

// r times the cosine and the sine of a turn's share: the word's high 24 bits of 2^24.
LRNN_HD void turn(uint32_t word, float r, float& a, float& b) {
  const int32_t j = static_cast<int32_t>(word >> 8), quarter = (j + (1 << 21)) >> 22;
  const float phi =
      static_cast<float>(j - (quarter << 22)) * float(6.283185307179586476925 / 16777216.0);
  const float p = phi * phi;
  const float sine =
      phi + phi * (p * (float(-1.0 / 6) + p * (float(1.0 / 120) + p * (float(-1.0 / 5040) +
                                                                       p * float(1.0 / 362880)))));
  const float cosine =
      1.0f + p * (-0.5f + p * (float(1.0 / 24) + p * (float(-1.0 / 720) + p * float(1.0 / 40320))));
  const bool swapped = quarter & 1;
  const float c = swapped ? sine : cosine, s = swapped ? cosine : sine;
  a = r * (((quarter + 1) & 2) ? -c : c);
  b = r * ((quarter & 2) ? -s : s);
}

void draw_block(const NoiseArgs& args, NoiseLanes& lanes, uint64_t block) {
  lanes.block = static_cast<int64_t>(block);
  for (int i = 0; i < kNoiseLanes; ++i) {
    uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32),
             c2 = lanes.low[i], c3 = lanes.high[i];
    uint32_t k0 = static_cast<uint32_t>(args.seed), k1 = static_cast<uint32_t>(args.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(p1);
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    turn(c1, radius(c0), lanes.white[0][i], lanes.white[1][i]);
    turn(c3, radius(c2), lanes.white[2][i], lanes.white[3][i]);
  }
}

// Sample m of the white noise, through the filter.
void filter(const NoiseArgs& args, NoiseLanes& lanes, uint64_t m) {
  if (lanes.block != static_cast<int64_t>(m >> 2)) draw_block(args, lanes, m >> 2);
  const float* const white = lanes.white[m & 3];
  for (int i = 0; i < kNoiseLanes; ++i) {
    float x = white[i];
#pragma GCC unroll 4
    for (int k = 0; k < kNoiseSections; ++k) {
      const float* const c = args.sections[k & 1];
      const float u = c[0] * x, y = u + lanes.s1[k][i];
      lanes.s1[k][i] = ((u + u) - c[1] * y) + lanes.s2[k][i];
      lanes.s2[k][i] = u - c[2] * y;
      x = y;
    }
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
      (*rows)[i] = lanes.now[i] + w * (lanes.next[i] - lanes.now[i]);
  }
}

}  // namespace lrnn::LRNN_ISA
