// The affine engine: forward and backward of h[t] = a[t] h[t-1] + b[t] for any cell.
//
// A thread holds a tile: its lane at kSteps positions of every stream, loaded one tile ahead of its
// use, so that loads are in flight while it computes. Blocks with several groups put their threads'
// tiles one after another and compose them (groups.cuh); a sequence in several chunks is summarized
// first, and every chunk finds its carry from the maps of those before it, by the same composition.
// All three levels of the split run the same two functions of a tile: its map, and its steps.
#pragma once

#include "../lanes/groups.cuh"
#include "../lanes/streams.cuh"

namespace lrnn::LRNN_ISA {

// Steps between two additions of parameter gradients into double: bounds the rounding of long
// float32 sums.
inline constexpr int kFlush = 64;

// The parameters of a lane.
template <class Cell, class Io>
struct Params {
  Values<Io> param[Cell::kParams + 1];
  __device__ __forceinline__ Params(const ScanArgs& args, const Place& k) {
    for (int i = 0; i < Cell::kParams; ++i)
      param[i] = load_boundary<Io>(args.params[i], k, Io::kPlanes == 2);
  }
  __device__ __forceinline__ void get(int channel, typename Io::Value* p) const {
    for (int i = 0; i < Cell::kParams; ++i) p[i] = param[i].v[channel];
  }
};

template <class Cell, class Io>
struct Forward {
  using Value = typename Io::Value;
  static constexpr bool kForward = true;
  static constexpr int kStreams = Cell::kInputs, kAccesses = kStreams * Io::kVectors;
  static constexpr int kSteps = affine_tile(kAccesses, Io::kChannels* Io::kPlanes);

  struct Tile {
    Raw<Io::kVectors, typename Io::Word> x[kSteps][kStreams];
    bool reset[kSteps];
  };

  const ScanArgs& args;
  const Share& share;
  const Place k;
  const Params<Cell, Io> params;
  const Rows<Io, const void> inputs[kMaxStreams];
  const Rows<Io, void> y;

  __device__ __forceinline__ Forward(const ScanArgs& args, const Share& share)
      : args(args),
        share(share),
        k(args, share, Io::kChannels),
        params(args, k),
        inputs{{args.inputs[0], k}, {args.inputs[1], k}, {args.inputs[2], k}},
        y(args.y, k) {}

  template <Read kRead>
  __device__ __forceinline__ Tile load(int64_t first, int64_t end) const {
    Tile tile;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      tile.reset[s] = false;
      if (first + s >= end) continue;
      const int64_t t = time_at(args, share, first + s);
      for (int i = 0; i < kStreams; ++i)
        tile.x[s][i] = inputs[i].template load<kRead>(args.inputs[i], t);
      tile.reset[s] = is_reset(args, k, t);
    }
    return tile;
  }

  __device__ __forceinline__ Gate<Value> gate(const Tile& tile, int s, int channel) const {
    Value x[kStreams], p[Cell::kParams + 1];
    for (int i = 0; i < kStreams; ++i) x[i] = Io::get(tile.x[s][i], channel);
    params.get(channel, p);
    return Cell::gate(x, p, args.options);
  }

  __device__ __forceinline__ void compose(const Tile& tile, int64_t first, int64_t end,
                                          Map<Io>& map) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      if (tile.reset[s]) {
        const Values<Io> start = load_boundary<Io>(args.h_reset, k);
        for (int i = 0; i < Io::kChannels; ++i) {
          map.scale[i] = Io::value(0, 0);
          map.offset[i] = start.v[i];
        }
      }
      for (int i = 0; i < Io::kChannels; ++i) {
        const Gate<Value> step = gate(tile, s, i);
        map.scale[i] = product(step.a, map.scale[i]);
        map.offset[i] = stepped<Cell>(step, map.offset[i]);
      }
    }
  }

  __device__ __forceinline__ void run(const Tile& tile, int64_t first, int64_t end,
                                      Values<Io>& h) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      if (tile.reset[s]) h = load_boundary<Io>(args.h_reset, k);
      for (int i = 0; i < Io::kChannels; ++i) {
        h.v[i] = stepped<Cell>(gate(tile, s, i), h.v[i]);
      }
      y.store(args.y, time_at(args, share, first + s), h.v);
      if (first + s == args.T - 1) store_boundary<Io>(args.h_last, k, h);
    }
  }

  __device__ __forceinline__ const Input& start() const { return args.h0; }
  __device__ __forceinline__ const Output& finish() const { return args.h_last; }
  __device__ __forceinline__ void done() {}
};

template <class Cell, class Io>
struct Backward {
  using Value = typename Io::Value;
  static constexpr bool kForward = false;
  static constexpr int kStreams = Cell::kInputs, kReads = inputs_read<Cell>();
  static constexpr int kAccesses = (kReads + 1 + Cell::kUsesState) * Io::kVectors;
  static constexpr int kSteps = affine_tile(kAccesses, Io::kChannels* Io::kPlanes);

  struct Tile {
    Raw<Io::kVectors, typename Io::Word> x[kSteps][kReads > 0 ? kReads : 1], dy[kSteps],
        before[kSteps];
    bool reset[kSteps];
  };

  const ScanArgs& args;
  const Share& share;
  const Place k;
  const Params<Cell, Io> params;
  const Rows<Io, const void> inputs[kMaxStreams], dy, states;
  const Rows<Io, void> dinputs[kMaxStreams];
  int64_t slot;  // of partial sums
  Values<Io> dparams[Cell::kParams + 1];
  int summed = 0;

  __device__ __forceinline__ Backward(const ScanArgs& args, const Share& share)
      : args(args),
        share(share),
        k(args, share, Io::kChannels),
        params(args, k),
        inputs{{args.inputs[0], k}, {args.inputs[1], k}, {args.inputs[2], k}},
        dy(args.dy, k),
        states(args.states, k),
        dinputs{{args.dinputs[0], k}, {args.dinputs[1], k}, {args.dinputs[2], k}} {
    slot = (k.b * gridDim.y + blockIdx.y) * blockDim.y + threadIdx.y;
    clear();
  }

  __device__ __forceinline__ void clear() {
    for (int i = 0; i < Cell::kParams; ++i)
      for (int c = 0; c < Io::kChannels; ++c) dparams[i].v[c] = Value{};
  }

  // The state before the step at a position is the output at the next position, unless a reset or
  // the start of the sequence is between. A map, whose tiles are read first, needs no states, and
  // has none.
  template <Read kRead>
  __device__ __forceinline__ Tile load(int64_t first, int64_t end) const {
    Tile tile;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      tile.reset[s] = false;
      if (first + s >= end) continue;
      const int64_t t = time_at(args, share, first + s);
      for (int i = 0; i < kReads; ++i)
        tile.x[s][i] = inputs[i].template load<kRead>(args.inputs[i], t);
      tile.dy[s] = dy.template load<kRead>(args.dy, t);
      if (kRead == Read::kLast && Cell::kUsesState && first + s + 1 < args.T)
        tile.before[s] =
            states.template load<kRead>(args.states, time_at(args, share, first + s + 1));
      tile.reset[s] = is_reset(args, k, t);
    }
    return tile;
  }

  __device__ __forceinline__ void arguments(const Tile& tile, int s, int channel, Value* x,
                                            Value* p) const {
    for (int i = 0; i < kReads; ++i) x[i] = Io::get(tile.x[s][i], channel);
    for (int i = kReads; i < kStreams; ++i) x[i] = Value{};
    params.get(channel, p);
  }

  __device__ __forceinline__ void compose(const Tile& tile, int64_t first, int64_t end,
                                          Map<Io>& map) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      for (int i = 0; i < Io::kChannels; ++i) {
        Value x[kStreams], p[Cell::kParams + 1];
        arguments(tile, s, i, x, p);
        const Value a = Cell::gate(x, p, args.options).a;
        map.scale[i] = tile.reset[s] ? Io::value(0, 0) : product(conj(a), map.scale[i]);
        map.offset[i] = tile.reset[s]
                            ? Io::value(0, 0)
                            : handed_back<Cell>(a, Io::get(tile.dy[s], i) + map.offset[i]);
      }
    }
  }

  __device__ __forceinline__ void run(const Tile& tile, int64_t first, int64_t end,
                                      Values<Io>& carry) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first + s >= end) continue;
      const bool at_start = first + s == args.T - 1;
      Values<Io> h_prev;
      if (Cell::kUsesState && (tile.reset[s] || at_start))
        h_prev = load_rounded_boundary<Io>(tile.reset[s] ? args.h_reset : args.h0, k);
      Values<Io> dx[kStreams];
      for (int i = 0; i < Io::kChannels; ++i) {
        Value x[kStreams], p[Cell::kParams + 1], dinput[kStreams], dparam[Cell::kParams + 1];
        arguments(tile, s, i, x, p);
        Value h = Value{};
        if constexpr (Cell::kUsesState)
          h = tile.reset[s] || at_start ? h_prev.v[i] : Io::get(tile.before[s], i);
        const Value g = Io::get(tile.dy[s], i) + carry.v[i];
        Cell::pullback(x, p, args.options, h, g, dinput, dparam);
        carry.v[i] = handed_back<Cell>(Cell::gate(x, p, args.options).a, g);
        for (int j = 0; j < kStreams; ++j) dx[j].v[i] = dinput[j];
        for (int j = 0; j < Cell::kParams; ++j) dparams[j].v[i] = dparams[j].v[i] + dparam[j];
      }
      for (int j = 0; j < kStreams; ++j)
        dinputs[j].store(args.dinputs[j], time_at(args, share, first + s), dx[j].v);
      if (tile.reset[s]) {
        if (args.dreset) add_to<Io>(args.dreset + slot * Io::kPlanes * args.C, args.C, k, carry.v);
        for (int i = 0; i < Io::kChannels; ++i) carry.v[i] = Value{};
      }
      if (at_start) store_boundary<Io>(args.dh0, k, carry);
    }
    summed += kSteps;
    if (summed >= kFlush) flush();
  }

  __device__ __forceinline__ void flush() {
    for (int i = 0; i < Cell::kParams; ++i)
      add_to<Io>(args.dparams + (slot * Cell::kParams + i) * Io::kPlanes * args.C, args.C, k,
                 dparams[i].v);
    clear();
    summed = 0;
  }

  __device__ __forceinline__ const Input& start() const { return args.dh_last; }
  __device__ __forceinline__ const Output& finish() const { return args.dh0; }
  __device__ __forceinline__ void done() { flush(); }
};

// The carry that enters this block's chunk, from that of the first: a group takes a chunk's map.
// Blocks that share nothing but their lanes apply the maps in turn.
template <class Io>
__device__ __forceinline__ Values<Io> enter_chunk(const Share& share, const Place& k,
                                                  Values<Io> carry) {
  const auto* const maps = static_cast<const Map<Io>*>(share.maps) + (k.count ? k.lane : 0);
  for (int64_t begin = 0; begin < blockIdx.y; begin += blockDim.y) {
    const int64_t chunk = begin + threadIdx.y;
    const Map<Io> map = chunk < blockIdx.y ? maps[chunk * share.lanes] : identity<Io>();
    if (blockDim.y == 1)
      carry = applied(map, carry);
    else
      enter<Io>(map, carry);
  }
  return carry;
}

// Computes the outputs of a pass, all of the time or a chunk, where the maps of those before it are
// known.
template <template <class, class> class Pass, class Cell, class Io>
__global__ void __launch_bounds__(kGpuThreads, 1)
    affine(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share) {
  using P = Pass<Cell, Io>;
  P pass(args, share);
  const int64_t end = pass.k.end, stride = static_cast<int64_t>(blockDim.y) * P::kSteps;
  Values<Io> carry = load_boundary<Io>(pass.start(), pass.k);
  if (args.T == 0 && threadIdx.y == 0) store_boundary<Io>(pass.finish(), pass.k, carry);
  int64_t first = pass.k.begin + threadIdx.y * P::kSteps;
  typename P::Tile tile = pass.template load<Read::kLast>(first, end);
  carry = enter_chunk(share, pass.k, carry);
  for (int64_t begin = pass.k.begin; begin < end; begin += stride, first += stride) {
    const typename P::Tile next = pass.template load<Read::kLast>(first + stride, end);
    if (blockDim.y == 1) {
      pass.run(tile, first, end, carry);
    } else {
      Map<Io> map = identity<Io>();
      pass.compose(tile, first, end, map);
      Values<Io> entering = enter<Io>(map, carry);
      pass.run(tile, first, end, entering);
    }
    tile = next;
  }
  pass.done();
}

// The map of the positions [first, end), tile by tile.
template <class Io, class P>
__device__ __forceinline__ Map<Io> map_of(const P& pass, int64_t first, int64_t end) {
  Map<Io> map = identity<Io>();
  typename P::Tile tile = pass.template load<Read::kFirst>(first, end);
  for (; first < end; first += P::kSteps) {
    const typename P::Tile next = pass.template load<Read::kFirst>(first + P::kSteps, end);
    pass.compose(tile, first, end, map);
    tile = next;
  }
  return map;
}

// The same from the last tile back, no further than to where every channel drops what was before.
template <class Io, class P>
__device__ __forceinline__ Map<Io> last_map_of(const P& pass, int64_t first, int64_t end) {
  Map<Io> map = identity<Io>();
  if (first >= end) return map;
  int64_t at = first + (end - 1 - first) / P::kSteps * P::kSteps;
  typename P::Tile tile = pass.template load<Read::kFirst>(at, end);
  for (bool holds = true; holds && at >= first; at -= P::kSteps) {
    const int64_t before = at - P::kSteps;
    const typename P::Tile next =
        pass.template load<Read::kFirst>(before, at > first ? at : before);
    Map<Io> earlier = identity<Io>();
    pass.compose(tile, at, end, earlier);
    map = composed(earlier, map);
    holds = false;
    for (int i = 0; i < Io::kChannels; ++i) holds |= map.scale[i] != typename Io::Value{};
    tile = next;
    end = at;
  }
  return map;
}

// Computes the map of a chunk. Its groups take a stretch of it each, since none has to wait for
// another.
template <template <class, class> class Pass, class Cell, class Io>
__global__ void __launch_bounds__(kGpuThreads, 1)
    summarize(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share) {
  using P = Pass<Cell, Io>;
  const P pass(args, share);
  const int64_t stretch = (share.chunk + blockDim.y - 1) / blockDim.y;
  const int64_t first = pass.k.begin + threadIdx.y * stretch;
  const int64_t end = first + stretch < pass.k.end ? first + stretch : pass.k.end;
  Map<Io> map;
  if constexpr (kMayForget<Cell>)
    map = last_map_of<Io>(pass, first, end);
  else
    map = map_of<Io>(pass, first, end);
  const Map<Io> total = total_map<Io>(map);
  if (threadIdx.y == 0 && pass.k.count)
    static_cast<Map<Io>*>(share.maps)[blockIdx.y * share.lanes + pass.k.lane] = total;
}

// Writes each lane's map over all chunks, a thread a lane.
template <class Io>
__global__ void __launch_bounds__(kGpuPlainThreads)
    write_maps(const __grid_constant__ ScanArgs args, const __grid_constant__ Share share,
               int64_t chunks, const __grid_constant__ Output scale,
               const __grid_constant__ Output offset) {
  const Place k(args, share, Io::kChannels);
  if (!k.count) return;
  const auto* const maps = static_cast<const Map<Io>*>(share.maps) + k.lane;
  Map<Io> map = maps[0];
  for (int64_t chunk = 1; chunk < chunks; ++chunk) map = composed(map, maps[chunk * share.lanes]);
  Values<Io> scales, offsets;
  for (int i = 0; i < Io::kChannels; ++i) {
    scales.v[i] = map.scale[i];
    offsets.v[i] = map.offset[i];
  }
  store_boundary<Io>(scale, k, scales);
  store_boundary<Io>(offset, k, offsets);
}

}  // namespace lrnn::LRNN_ISA
