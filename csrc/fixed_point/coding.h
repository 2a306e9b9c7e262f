// From an image to the inputs that spike in a step: rate coding, drawn on the fly, or a trace that
// was given.
#pragma once

#include "lanes.h"

namespace lrnn::fixed_point::LRNN_ISA {

inline constexpr int kGroups = 8;  // of a chunk
inline constexpr int kWords = kVectorBytes / 8;
inline constexpr int kRounds = 10;

// Philox4x32-10 (Salmon et al. 2011) of kWords counters (group, step, image low, image high) under
// the key seed. Each 32-bit word lies in the low half of a 64-bit lane, where the multiplier wants
// it; high halves hold rubbish until the end.
LRNN_HD void philox(U64 group, uint32_t step, uint64_t image, uint64_t seed, U64& low, U64& high) {
  U64 c0 = group, c1 = U64{} + step, c2 = U64{} + static_cast<uint32_t>(image),
      c3 = U64{} + static_cast<uint32_t>(image >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const U64 p0 = multiply_low_halves(c0, U64{} + 0xD2511F53u),
              p1 = multiply_low_halves(c2, U64{} + 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  low = (c0 & 0xffffffffu) | (c1 << 32);   // draws for pixels 0-3 of the group, 16 bits each
  high = (c2 & 0xffffffffu) | (c3 << 32);  // ... and 4-7
}

// The rate code of one image. Groups of pixels that are all black never spike, and are left out.
class Coded {
 public:
  Coded(const Job& job, const Scratch& scratch, int64_t image)
      : job_(job), chunks_(scratch.chunks), image_(job.first + static_cast<uint64_t>(image)) {
    const uint8_t* pixels = job.pixels + image * job.inputs;
    int group = 0;
    for (int first = 0; first < job.inputs; first += 8) {
      uint8_t eight[8] = {};
      const int many = job.inputs - first < 8 ? job.inputs - first : 8;
      for (int i = 0; i < many; ++i) eight[i] = pixels[first + i];
      if (!bit_cast<uint64_t>(eight)) continue;
      put(group++, first, eight);
    }
    count_ = (group + kGroups - 1) / kGroups;
    const uint8_t black[8] = {};
    while (group < count_ * kGroups) put(group++, 0, black);
  }

  // The inputs that spike in a step, to be asked for in order from step 0 on; returns how many.
  int events(int64_t step, uint32_t* events) {
    int count = 0;
    if (step < job_.silent) return count;
    if (step == job_.frames - 1)
      for (int c = 0; c < count_; ++c) chunks_[c].previous = chunks_[c].binary;
    else
      // A loop of its own, without branches that depend on draws: those of several chunks are then
      // computed at once.
      for (int c = 0; c < count_; ++c)
        chunks_[c].previous = draw(chunks_[c], step - job_.silent) & ~chunks_[c].previous;
    for (int c = 0; c < count_; ++c)
      list_bits(
          chunks_[c].previous, [&](int slot) { return chunks_[c].input[slot]; }, events, count);
    return count;
  }

 private:
  // Slots of a chunk: the low four pixels of the eight groups, then the high four.
  void put(int group, int first, const uint8_t* pixels) {
    Chunk& chunk = chunks_[group / kGroups];
    const int place = group % kGroups;
    if (place == 0) chunk.binary = chunk.previous = 0;
    chunk.group[place] = static_cast<uint64_t>(first / 8);
    for (int i = 0; i < 8; ++i) {
      const int slot = (i / 4) * 32 + place * 4 + i % 4;
      chunk.input[slot] = static_cast<uint32_t>(first + i);
      chunk.threshold[slot] = static_cast<uint16_t>((pixels[i] * 16384 + 127) /
                                                    255);  // a quarter of the grey level, of 65536
      chunk.binary |= static_cast<uint64_t>(pixels[i] >= 128) << slot;
    }
  }

  uint64_t draw(const Chunk& chunk, int64_t step) const {
    uint64_t spikes = 0;
    for (int i = 0; i < kGroups; i += kWords) {
      U64 low, high;
      philox(load_raw<U64>(chunk.group + i), static_cast<uint32_t>(step), image_, job_.seed, low,
             high);
      const I16 first = bit_cast<U16>(low) < load_raw<U16>(chunk.threshold + 4 * i);
      const I16 second = bit_cast<U16>(high) < load_raw<U16>(chunk.threshold + 32 + 4 * i);
      spikes |= static_cast<uint64_t>(bits_of(first)) << (4 * i) |
                static_cast<uint64_t>(bits_of(second)) << (32 + 4 * i);
    }
    return spikes;
  }

  const Job& job_;
  Chunk* chunks_;
  uint64_t image_;
  int count_;
};

// A trace that was given.
class Recorded {
 public:
  Recorded(const Job& job, const Scratch&, int64_t image)
      : bytes_((job.inputs + 7) / 8), bits_(job.bits + image * job.frames * bytes_) {}

  int events(int64_t step, uint32_t* events) {
    const uint8_t* row = bits_ + step * bytes_;
    int count = 0, byte = 0;
    for (; byte + 8 <= bytes_; byte += 8) list(load_raw<uint64_t>(row + byte), byte, events, count);
    for (; byte < bytes_; ++byte) list(row[byte], byte, events, count);
    return count;
  }

 private:
  static void list(uint64_t word, int byte, uint32_t* events, int& count) {
    list_bits(word, [&](int bit) { return static_cast<uint32_t>(byte * 8 + bit); }, events, count);
  }

  int64_t bytes_;
  const uint8_t* bits_;
};

}  // namespace lrnn::fixed_point::LRNN_ISA
