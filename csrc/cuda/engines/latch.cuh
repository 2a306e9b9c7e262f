// The last-write-wins engine: the BMRU (eps = 0, alpha per channel, no resets), with the same bits
// saved as on the CPU, see cpu/latch.h.
//
// Its passes run in the affine kernels (affine.cuh): "last write wins" is an affine map whose scale
// is 0 or 1, and only what is computed, kept and read differs. Such maps round nothing, so the
// outputs are those of the sequential loop bit for bit, however time is cut.
#pragma once

#include "../../cells/hysteresis.h"
#include "affine.cuh"

namespace lrnn::LRNN_ISA {

inline constexpr int kWordSteps = 32, kByteSteps = 8;

// What both directions read.
template <class Cell, class Io>
struct LatchPass {
  using R = typename Io::R;
  using InputRaw = Raw<1, typename Io::Word>;

  const ScanArgs& args;
  const Share& share;
  const Place k;
  const Rows<Io, const void> c, beta;
  const Values<Io> alpha;

  __device__ __forceinline__ LatchPass(const ScanArgs& args, const Share& share)
      : args(args),
        share(share),
        k(args, share, Io::kChannels),
        c(args.inputs[0], k),
        beta(args.inputs[1], k),
        alpha(load_boundary<Io>(args.params[0], k)) {}

  __device__ __forceinline__ static bool updates(const InputRaw& c, const InputRaw& beta,
                                                 int channel) {
    return abs(Io::get(c, channel)) >= abs(Io::get(beta, channel));
  }
  // The row of words, or of first writes, at this place.
  template <class Int32>
  __device__ __forceinline__ Int32* words(const Stream<Int32>& bits, int64_t row) const {
    return bits.data + k.b * bits.stride_b + row * bits.stride_t + k.c;
  }
  __device__ __forceinline__ int64_t first_writes_row() const {
    return (args.T + kWordSteps - 1) / kWordSteps;
  }
};

// A tile is a byte's worth of steps: a thread then owns the bits that it makes, whatever other
// threads do.
template <class Cell, class Io>
struct LatchForward : LatchPass<Cell, Io> {
  using Pass = LatchPass<Cell, Io>;
  using Pass::args, Pass::share, Pass::k, Pass::c, Pass::beta, Pass::alpha;
  static constexpr bool kForward = true;
  static constexpr int kAccesses = 2, kSteps = kByteSteps, kChannels = Io::kChannels;

  struct Tile {
    typename Pass::InputRaw c[kSteps], beta[kSteps];
  };

  const Rows<Io, void> y;
  int32_t first_write[kChannels];

  __device__ __forceinline__ LatchForward(const ScanArgs& args, const Share& share)
      : Pass(args, share), y(args.y, k) {
    for (auto& step : first_write) step = static_cast<int32_t>(args.T);
  }

  template <Read kRead>
  __device__ __forceinline__ Tile load(int64_t first, int64_t end) const {
    Tile tile;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      const int64_t t = time_at(args, share, first + s);
      tile.c[s] = c.template load<kRead>(args.inputs[0], t);
      tile.beta[s] = beta.template load<kRead>(args.inputs[1], t);
    }
    return tile;
  }

  __device__ __forceinline__ void compose(const Tile& tile, int64_t first, int64_t end,
                                          Map<Io>& map) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      for (int i = 0; i < kChannels; ++i) {
        if (!Pass::updates(tile.c[s], tile.beta[s], i)) continue;
        map.scale[i] = 0;
        map.offset[i] = written(Io::get(tile.c[s], i), alpha.v[i]);
      }
    }
  }

  __device__ __forceinline__ void run(const Tile& tile, int64_t first, int64_t end, Values<Io>& h) {
    unsigned bits[kChannels] = {};
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      const auto step = static_cast<int32_t>(first + s);
      for (int i = 0; i < kChannels; ++i) {
        if (Pass::updates(tile.c[s], tile.beta[s], i)) {
          h.v[i] = written(Io::get(tile.c[s], i), alpha.v[i]);
          if (first_write[i] > step) first_write[i] = step;
        }
        bits[i] |= static_cast<unsigned>(h.v[i] == alpha.v[i]) << s;
      }
      y.store(args.y, time_at(args, share, first + s), h.v);
      if (step == args.T - 1) store_boundary<Io>(args.h_last, k, h);
    }
    if (args.bits.data && first < end) save(first, bits);
  }

  // The last byte of a sequence also fills its word.
  __device__ __forceinline__ void save(int64_t first, const unsigned* bits) const {
    auto* const bytes = reinterpret_cast<uint8_t*>(Pass::words(args.bits, first / kWordSteps));
    int byte = static_cast<int>(first % kWordSteps) / kByteSteps;
    for (int i = 0; i < kChannels; ++i)
      if (i < k.count) bytes[4 * i + byte] = static_cast<uint8_t>(bits[i]);
    if (first + kSteps < args.T) return;
    while (++byte < 4)
      for (int i = 0; i < k.count; ++i) bytes[4 * i + byte] = 0;
  }

  __device__ __forceinline__ const Input& start() const { return args.h0; }
  __device__ __forceinline__ const Output& finish() const { return args.h_last; }
  // The minimum over all threads of a lane, in any order.
  __device__ __forceinline__ void done() const {
    if (!args.bits.data) return;
    int32_t* const row = Pass::words(args.bits, Pass::first_writes_row());
    for (int i = 0; i < kChannels; ++i)
      if (i < k.count && first_write[i] < args.T) atomicMin(row + i, first_write[i]);
  }
};

template <class Cell, class Io>
struct LatchBackward : LatchPass<Cell, Io> {
  using Pass = LatchPass<Cell, Io>;
  using R = typename Io::R;
  using Pass::args, Pass::share, Pass::k, Pass::c, Pass::beta, Pass::alpha;
  static constexpr bool kForward = false;
  static constexpr int kAccesses = 3, kChannels = Io::kChannels,
                       kSteps = affine_tile(kAccesses, kChannels);

  struct Words {
    int32_t word[kChannels];
  };
  // The states before the steps of a tile are in one word, or in two.
  struct Tile {
    typename Pass::InputRaw c[kSteps], beta[kSteps], dy[kSteps];
    Words later, earlier;
  };

  const Rows<Io, const void> dy;
  const Rows<Io, void> dc, dbeta;
  const bool whole_words;
  int64_t slot;  // of partial sums
  Words first_write;
  Values<Io> dalpha;
  int summed = 0;

  __device__ __forceinline__ LatchBackward(const ScanArgs& args, const Share& share)
      : Pass(args, share),
        dy(args.dy, k),
        dc(args.dinputs[0], k),
        dbeta(args.dinputs[1], k),
        whole_words(k.count == kChannels &&
                    (reinterpret_cast<uintptr_t>(Pass::words(args.saved_bits, 0)) |
                     static_cast<uintptr_t>(args.saved_bits.stride_t * 4)) %
                            sizeof(WordAccess) ==
                        0),
        slot((k.b * gridDim.y + blockIdx.y) * blockDim.y + threadIdx.y),
        first_write(load_words(Pass::first_writes_row())) {
    clear();
  }

  __device__ __forceinline__ void clear() {
    for (auto& sum : dalpha.v) sum = 0;
  }

  static constexpr int kWordsPerAccess = kChannels < 4 ? kChannels : 4;
  using WordAccess = typename Access<4 * kWordsPerAccess>::Word;
  // Words serve several tiles, and the last row every chunk: they are never read for the last time.
  __device__ __forceinline__ Words load_words(int64_t row) const {
    Words words{};
    const int32_t* const p = Pass::words(args.saved_bits, row);
    if (whole_words) {
      for (int v = 0; v < kChannels / kWordsPerAccess; ++v) {
        const auto some = bit_cast<Scalars<int32_t, kWordsPerAccess>>(
            load_unchanging<Read::kFirst>(reinterpret_cast<const WordAccess*>(p) + v));
        for (int i = 0; i < kWordsPerAccess; ++i) words.word[v * kWordsPerAccess + i] = some.s[i];
      }
    } else {
      for (int i = 0; i < kChannels; ++i)
        if (i < k.count) words.word[i] = p[i];
    }
    return words;
  }

  // The step at a position, in scan order, and the step whose state is before it.
  __device__ __forceinline__ int64_t step_at(int64_t position) const {
    return args.T - 1 - position;
  }
  __device__ __forceinline__ int64_t before(int64_t position) const {
    return position < args.T - 1 ? args.T - 2 - position : 0;
  }

  template <Read kRead>
  __device__ __forceinline__ Tile load(int64_t first, int64_t end) const {
    Tile tile;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      const int64_t t = time_at(args, share, first + s);
      tile.c[s] = c.template load<kRead>(args.inputs[0], t);
      tile.beta[s] = beta.template load<kRead>(args.inputs[1], t);
      tile.dy[s] = dy.template load<kRead>(args.dy, t);
    }
    if (first >= end) return tile;
    const int64_t last = first + kSteps < end ? first + kSteps - 1 : end - 1;
    const int64_t row = before(first) / kWordSteps, other = before(last) / kWordSteps;
    tile.later = load_words(row);
    tile.earlier = other == row ? tile.later : load_words(other);
    return tile;
  }

  __device__ __forceinline__ void compose(const Tile& tile, int64_t first, int64_t end,
                                          Map<Io>& map) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      for (int i = 0; i < kChannels; ++i) {
        const bool updates = Pass::updates(tile.c[s], tile.beta[s], i);
        map.scale[i] = updates ? R(0) : map.scale[i];
        map.offset[i] = updates ? R(0) : Io::get(tile.dy[s], i) + map.offset[i];
      }
    }
  }

  __device__ __forceinline__ void run(const Tile& tile, int64_t first, int64_t end,
                                      Values<Io>& carry) {
    const int64_t row = before(first) / kWordSteps;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      const int64_t step = step_at(first + s), from = before(first + s);
      const bool later = from / kWordSteps == row;
      bool pending = false;  // some channel was not written before this step
      for (int i = 0; i < kChannels; ++i) pending |= first_write.word[i] >= step;
      Values<Io> h0;
      if (pending) h0 = load_boundary<Io>(args.h0, k);
      Values<Io> out_c, out_beta;
      for (int i = 0; i < kChannels; ++i) {
        const R x = Io::get(tile.c[s], i), threshold = Io::get(tile.beta[s], i), a = alpha.v[i];
        const R g = Io::get(tile.dy[s], i) + carry.v[i];
        const int32_t word = later ? tile.later.word[i] : tile.earlier.word[i];
        const R held = word >> (from % kWordSteps) & 1 ? a : -a;
        const R h_prev = pending && first_write.word[i] >= step ? h0.v[i] : held;
        const R dz_signed = g * (a - written(x, h_prev));
        R da;
        hysteresis_pullback(x, threshold, a, args.options[1], g, dz_signed, out_c.v[i],
                            out_beta.v[i], da);
        carry.v[i] = abs(x) >= abs(threshold) ? R(0) : g;
        dalpha.v[i] += da;
      }
      const int64_t t = time_at(args, share, first + s);
      dc.store(args.dinputs[0], t, out_c.v);
      dbeta.store(args.dinputs[1], t, out_beta.v);
      if (step == 0) store_boundary<Io>(args.dh0, k, carry);
    }
    summed += kSteps;
    if (summed >= kFlush) flush();
  }

  __device__ __forceinline__ void flush() {
    add_to<Io>(args.dparams + slot * args.C, args.C, k, dalpha.v);
    clear();
    summed = 0;
  }

  __device__ __forceinline__ const Input& start() const { return args.dh_last; }
  __device__ __forceinline__ const Output& finish() const { return args.dh0; }
  __device__ __forceinline__ void done() { flush(); }
};

// Before a forward pass no channel has been written: T, later than every step.
__global__ void __launch_bounds__(kGpuThreads)
    never_written(const __grid_constant__ ScanArgs args) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= args.B * args.C) return;
  const int64_t row = (args.T + kWordSteps - 1) / kWordSteps;
  args.bits.data[i / args.C * args.bits.stride_b + row * args.bits.stride_t + i % args.C] =
      static_cast<int32_t>(args.T);
}

}  // namespace lrnn::LRNN_ISA
