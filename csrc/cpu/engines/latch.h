// The last-write-wins engine: the BMRU (eps = 0, alpha per channel, no resets), whose state is only
// ever +alpha, -alpha or h0.
//
// One bit per element is saved for the backward pass instead of the state: whether it is +alpha.
// Bits of 32 consecutive steps of one channel share a word, so that a word is filled in lanes and
// read in lanes. A bit means nothing before the channel's first write; the step of that write is
// saved too. The tensor is (B, ceil(T/32) + 1, C) of int32, its last row the first writes.
//
// Forward, it computes exactly what the generic engine does with Hysteresis at eps = 0; the tests
// compare the two bit for bit.
#pragma once

#include "../../cells/hysteresis.h"
#include "../lanes/rows.h"

namespace lrnn::LRNN_ISA {

inline constexpr int64_t kStepsPerWord = 32;

template <class Io>
struct Latch {
  using R = typename Io::R;
  using S = typename Io::S;
  using Row = CarryRow<R, 1>;
  using Word = CarryRow<Int<R>, 1>;  // a 32-bit word per lane, as wide as the lane
  template <int N>
  using V = Vec<R, N>;
  template <int N>
  using W = Vec<Int<R>, N>;

  template <int N>
  LRNN_HD static W<N> load_words(const int32_t* p) {
    return convert<Int<R>, N>(load_raw<Vec<int32_t, N>>(p));
  }
  template <int N>
  LRNN_HD static void store_words(int32_t* p, W<N> w) {
    store_raw(p, convert<int32_t, N>(w));
  }
  using Inputs = Reader<Io, 2>;  // c and beta

  template <int kFixed>
  using HeldRow = Held<R, 1, kFixed>;
  template <int kFixed>
  using HeldWord = Held<Int<R>, 1, kFixed>;

  // kPending: some channel has not been written yet, so first writes are still being recorded.
  template <bool kPending, bool kSave, int kFixed, bool kPrefetching>
  LRNN_HD static void forward_row(const ScanArgs& args, int64_t n, int64_t s, const Inputs& in,
                                  const Row& alphas, HeldRow<kFixed>& state,
                                  HeldWord<kFixed>& words, HeldWord<kFixed>& first, Writer<Io>& y) {
    const Int<R> bit = Int<R>(uint32_t{1} << (s % kStepsPerWord)), step = Int<R>(s),
                 never = Int<R>(args.T);
    for_lanes<R>(n, args.reverse, [&]<int N>(int64_t i) __attribute__((always_inline)) {
      V<N> x[2];
      if constexpr (kPrefetching && N > 1) in.template prefetch_next<N>(i);
      in.template load<N>(i, x);
      const V<N> c = x[0], beta = x[1], alpha = load_raw<V<N>>(&alphas.plane[0][i]);
      const auto update = abs(c) >= abs(beta);
      const V<N> h = update ? written(c, alpha) : load_raw<V<N>>(&state.plane[0][i]);
      store_raw(&state.plane[0][i], h);
      if constexpr (kSave) {
        const W<N> word = load_raw<W<N>>(&words.plane[0][i]);
        store_raw(&words.plane[0][i], word | (h == alpha ? W<N>{} + bit : W<N>{}));
      }
      if constexpr (kPending) {
        const W<N> f = load_raw<W<N>>(&first.plane[0][i]);
        const W<N> candidate = f == W<N>{} + never ? W<N>{} + step : f;
        store_raw(&first.plane[0][i], update ? candidate : f);
      }
      y.template store<N>(i, h);
    });
  }

  template <class Words>
  LRNN_HD static bool any_equal(const Words& row, int64_t n, Int<R> value) {
    bool found = false;
    for (int64_t i = 0; i < n; ++i) found |= row.plane[0][i] == value;
    return found;
  }

  struct alignas(kPage) ForwardRows {  // see kRowPitch
    Row state, alphas;
    Word words{}, first;
    RowCopy<S> copies[Inputs::kCopies];
  };

  template <bool kSave>
  static void forward_steps(const ScanArgs& call, const Task& k, ForwardRows& rows) {
    const ScanArgs args = call;
    Row& state = rows.state;
    const Row& alphas = rows.alphas;
    Word &words = rows.words, &first = rows.first;
    const Int<R> never = Int<R>(args.T);
    const int64_t direction = args.reverse ? -1 : 1, t0 = time_at(args, k.s0);
    Inputs in(args, args.inputs, k, t0, direction, rows.copies);
    Writer<Io> y(args.y, k, t0, direction, args.nontemporal);
    set_row(first, k.c1 - k.c0, never);
    bool pending = kSave;
    with_width<Io>(k.c1 - k.c0, access_to(in),
                   [&]<int kFixed, bool kPrefetching>() __attribute__((always_inline)) {
                     const int64_t n = kFixed ? kFixed : k.c1 - k.c0;
                     HeldRow<kFixed> h(state);
                     HeldWord<kFixed> bits(words), firsts(first);
                     for (int64_t s = k.s0; s < k.s1; ++s) {
                       in.template prepare<kPrefetching>(n);
                       if (pending)
                         forward_row<true, kSave, kFixed, kPrefetching>(args, n, s, in, alphas, h,
                                                                        bits, firsts, y);
                       else
                         forward_row<false, kSave, kFixed, kPrefetching>(args, n, s, in, alphas, h,
                                                                         bits, firsts, y);
                       in.template advance<kPrefetching>();
                       y.advance();
                       if (kSave && (s % kStepsPerWord == kStepsPerWord - 1 || s == k.s1 - 1)) {
                         int32_t* row = args.bits.data + k.b * args.bits.stride_b +
                                        s / kStepsPerWord * args.bits.stride_t + k.c0;
                         for_lanes<R>(n, false,
                                      [&]<int N>(int64_t i) __attribute__((always_inline)) {
                                        store_words<N>(row + i, load_raw<W<N>>(&bits.plane[0][i]));
                                        store_raw(&bits.plane[0][i], W<N>{});
                                      });
                         pending = pending && any_equal(firsts, n, never);
                       }
                     }
                   });
    if (!kSave) return;
    // A piece keeps the earliest of its first writes, and the caller that of all pieces.
    int32_t* const earliest = args.first_writes + k.slot * args.C + k.c0;
    for (int64_t i = 0; i < k.c1 - k.c0; ++i)
      if (const int32_t own = int32_t(first.plane[0][i]); own < earliest[i]) earliest[i] = own;
  }

  static void forward(const ScanArgs& args, const Task& k) {
    ForwardRows rows;
    load_boundary<Io, false>(args.params[0], k, rows.alphas);
    begin_carry<Io, false>(args.h0, k, rows.state);
    if (args.bits.data)
      forward_steps<true>(args, k, rows);
    else
      forward_steps<false>(args, k, rows);
    if (args.nontemporal) stream_fence();
    end_carry<Io>(rows.state, k, args.h_last);
  }

  // The map of a piece as [held | value]: held is 1 where nothing was written.
  static void summarize_forward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    const int64_t n = k.c1 - k.c0;
    Row alphas, held, value{};
    load_boundary<Io, false>(args.params[0], k, alphas);
    set_row(held, n, R(1));
    Inputs in(args, args.inputs, k, time_at(args, k.s0), args.reverse ? -1 : 1);
    with_width<Io>(n, [&]<int kFixed, bool>() __attribute__((always_inline)) {
      HeldRow<kFixed> helds(held), values(value);
      for (int64_t s = k.s0; s < k.s1; ++s, in.advance()) {
        for_lanes<R>(
            kFixed ? kFixed : n, args.reverse,
            [&]<int N>(int64_t i) __attribute__((always_inline)) {
              V<N> x[2];
              in.template load<N>(i, x);
              const V<N> c = x[0], beta = x[1], alpha = load_raw<V<N>>(&alphas.plane[0][i]);
              const auto update = abs(c) >= abs(beta);
              store_raw(&values.plane[0][i],
                        update ? written(c, alpha) : load_raw<V<N>>(&values.plane[0][i]));
              store_raw(&helds.plane[0][i], update ? V<N>{} : load_raw<V<N>>(&helds.plane[0][i]));
            });
      }
    });
    store_carry_row(held, n, k.carry_out);
    store_carry_row(value, n, static_cast<R*>(k.carry_out) + n);
  }

  // Backward, the map of a piece is [held | what its own steps add]: the adjoint of the state
  // passes where nothing was written.
  static void summarize_backward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    const int64_t n = k.c1 - k.c0;
    Row held, carry{};
    set_row(held, n, R(1));
    const int64_t direction = args.reverse ? 1 : -1, t1 = time_at(args, k.s1 - 1);
    Inputs in(args, args.inputs, k, t1, direction);
    Reader<Io> dy(args, &args.dy, k, t1, direction);
    with_width<Io>(n, [&]<int kFixed, bool>() __attribute__((always_inline)) {
      HeldRow<kFixed> helds(held), adjoint(carry);
      for (int64_t s = k.s1 - 1; s >= k.s0; --s, in.advance(), dy.advance()) {
        for_lanes<R>(kFixed ? kFixed : n, !args.reverse,
                     [&]<int N>(int64_t i) __attribute__((always_inline)) {
                       V<N> x[2];
                       in.template load<N>(i, x);
                       const V<N> c = x[0], beta = x[1];
                       const auto update = abs(c) >= abs(beta);
                       const V<N> g = dy.template load<N>(i) + load_raw<V<N>>(&adjoint.plane[0][i]);
                       store_raw(&adjoint.plane[0][i], update ? V<N>{} : g);
                       store_raw(&helds.plane[0][i],
                                 update ? V<N>{} : load_raw<V<N>>(&helds.plane[0][i]));
                     });
      }
    });
    store_carry_row(held, n, k.carry_out);
    store_carry_row(carry, n, static_cast<R*>(k.carry_out) + n);
  }

  static void combine_forward(const void* map, const void* in, void* out, int64_t n) {
    combine<false>(map, in, out, n);
  }
  static void combine_backward(const void* map, const void* in, void* out, int64_t n) {
    combine<true>(map, in, out, n);
  }

  // Where held, the carry passes (backward: and the piece's own part is added); elsewhere the
  // piece's value stands.
  template <bool kAdd>
  static void combine(const void* map, const void* in, void* out, int64_t n) {
    const R *held = static_cast<const R*>(map), *value = held + n,
            *carry = static_cast<const R*>(in);
    for (int64_t i = 0; i < n; ++i) {
      const R passed = kAdd ? carry[i] + value[i] : carry[i];
      static_cast<R*>(out)[i] = held[i] != 0 ? passed : value[i];
    }
  }

  template <bool kPending, int kFixed, bool kPrefetching>
  LRNN_HD static void backward_row(const ScanArgs& args, const Task& k, int64_t n, int64_t s,
                                   const Inputs& in, const Reader<Io>& dy, const Row& alphas,
                                   const Row& h0, const Word& first, HeldRow<kFixed>& carry,
                                   HeldRow<kFixed>& dalpha, Writer<Io>& dc_out,
                                   Writer<Io>& dbeta_out) {
    const int64_t before = s > 0 ? s - 1 : 0;
    const int32_t* words = args.saved_bits.data + k.b * args.saved_bits.stride_b +
                           before / kStepsPerWord * args.saved_bits.stride_t + k.c0;
    const int to_sign =
        8 * sizeof(R) - 1 -
        before % kStepsPerWord;  // brings the bit of the step before into the place of a sign
    const Int<R> step = Int<R>(s);
    const double width = args.options[1];
    for_lanes<R, 2>(n, !args.reverse, [&]<int N, int U>(int64_t i) __attribute__((always_inline)) {
      V<N> c[U], beta[U], alpha[U], g[U], dz_signed[U], dc[U], dbeta[U], da[U], sum[U];
      for (int u = 0; u < U; ++u) {
        const int64_t j = i + u * N;
        V<N> x[2];
        if constexpr (kPrefetching && N > 1) {
          in.template prefetch_next<N>(j);
          dy.template prefetch_next<N>(j);
        }
        in.template load<N>(j, x);
        c[u] = x[0];
        beta[u] = x[1];
        alpha[u] = load_raw<V<N>>(&alphas.plane[0][j]);
        g[u] = dy.template load<N>(j) + load_raw<V<N>>(&carry.plane[0][j]);
        sum[u] = load_raw<V<N>>(&dalpha.plane[0][j]);
        // The state before is alpha or -alpha, S(c) times it alpha where their signs are the same.
        const W<N> was_high = load_words<N>(words + j) << to_sign;
        const W<N> same = was_high ^ bit_cast<W<N>>(c[u] + R(0));
        dz_signed[u] = g[u] * (alpha[u] + flip_sign(alpha[u], bit_cast<V<N>>(same)));
        if constexpr (kPending) {
          const auto was_written = load_raw<W<N>>(&first.plane[0][j]) < W<N>{} + step;
          const V<N> from_start =
              g[u] * (alpha[u] - written(c[u], load_raw<V<N>>(&h0.plane[0][j])));
          dz_signed[u] = was_written ? dz_signed[u] : from_start;
        }
      }
      for (int u = 0; u < U; ++u) {
        hysteresis_pullback(c[u], beta[u], alpha[u], width, g[u], dz_signed[u], dc[u], dbeta[u],
                            da[u]);
      }
      for (int u = 0; u < U; ++u) {
        const int64_t j = i + u * N;
        store_raw(&carry.plane[0][j], abs(c[u]) >= abs(beta[u]) ? V<N>{} : g[u]);
        dc_out.template store<N>(j, dc[u]);
        dbeta_out.template store<N>(j, dbeta[u]);
        store_raw(&dalpha.plane[0][j], sum[u] + da[u]);
      }
    });
  }

  static void backward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    const int64_t n = k.c1 - k.c0;
    struct alignas(kPage) {  // see kRowPitch
      Row carry, dalpha, alphas, h0;
      Word first;
      RowCopy<S> copies[Inputs::kCopies];
    } rows;
    Row &carry = rows.carry, &dalpha = rows.dalpha, &alphas = rows.alphas, &h0 = rows.h0;
    Word& first = rows.first;
    set_row(dalpha, n, R(0));
    const int64_t direction = args.reverse ? 1 : -1, t1 = time_at(args, k.s1 - 1);
    Inputs in(args, args.inputs, k, t1, direction, rows.copies);
    Reader<Io> dy(args, &args.dy, k, t1, direction);
    Writer<Io> dc(args.dinputs[0], k, t1, direction, args.nontemporal),
        dbeta(args.dinputs[1], k, t1, direction, args.nontemporal);
    load_boundary<Io, false>(args.params[0], k, alphas);
    load_boundary<Io, false>(args.h0, k, h0);
    begin_carry<Io, false>(args.dh_last, k, carry);
    const int32_t* saved_first =
        args.saved_bits.data + k.b * args.saved_bits.stride_b +
        (args.T + kStepsPerWord - 1) / kStepsPerWord * args.saved_bits.stride_t;
    int64_t last_pending = 0;  // the latest first write of any channel: later steps need not ask
    for (int64_t i = 0; i < n; ++i) {
      first.plane[0][i] = saved_first[k.c0 + i];
      if (first.plane[0][i] > last_pending) last_pending = first.plane[0][i];
    }
    double* sums = args.dparams + k.slot * args.C + k.c0;
    with_width<Io>(n, access_to(in, dy),
                   [&]<int kFixed, bool kPrefetching>() __attribute__((always_inline)) {
                     const int64_t width = kFixed ? kFixed : n;
                     HeldRow<kFixed> adjoint(carry), sum(dalpha);
                     for (int64_t s = k.s1 - 1; s >= k.s0; --s) {
                       const bool pending = s <= last_pending;
                       in.template prepare<kPrefetching>(width);
                       dy.template prepare<kPrefetching>(width);
                       if (pending)
                         backward_row<true, kFixed, kPrefetching>(
                             args, k, width, s, in, dy, alphas, h0, first, adjoint, sum, dc, dbeta);
                       else
                         backward_row<false, kFixed, kPrefetching>(
                             args, k, width, s, in, dy, alphas, h0, first, adjoint, sum, dc, dbeta);
                       in.template advance<kPrefetching>();
                       dy.template advance<kPrefetching>();
                       dc.advance();
                       dbeta.advance();
                       if ((s - k.s0) % kFlush == 0) flush_row<R>(sum, width, sums, args.C);
                     }
                   });
    if (args.nontemporal) stream_fence();
    end_carry<Io>(carry, k, args.dh0);
  }

  static Kernels kernels() {
    return {forward,         summarize_forward, backward, summarize_backward,
            combine_forward, combine_backward};
  }
};

using latch_table = Kernels;

template <class>
Kernels latch_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Latch<RealIo<float, float>>::kernels();
    case Storage::f64:
      return Latch<RealIo<double, double>>::kernels();
    case Storage::bf16:
      return Latch<RealIo<BFloat16, float>>::kernels();
    case Storage::f16:
      return Latch<RealIo<Half, float>>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn::LRNN_ISA
