// The affine engine: forward and backward of h[t] = a[t] h[t-1] + b[t] for any cell, time outermost
// over whole channel rows.
//
// The state row stays in L1 while the streams pass by in address order. A reset is a row operation:
// the state row is replaced before the step, and in the backward pass the adjoint row is handed to
// h_reset instead of the step before.
#pragma once

#include "../../cells/affine_cell.h"
#include "../lanes/rows.h"

namespace lrnn::LRNN_ISA {

template <class Cell, class Io>
struct Affine {
  using R = typename Io::R;
  using S = typename Io::S;
  using Row = CarryRow<R, Io::kPlanes>;
  template <int N>
  using Value = typename Io::template Value<N>;
  template <int kFixed>
  using Local = Held<R, Io::kPlanes, kFixed>;
  static constexpr bool kInterleavedBoundary = Io::kScalars == 2;

  // Full registers worked on together: a processor's window holds too few of a long chain of
  // operations to overlap one register with the next by itself. Complex values are two chains
  // already, but of bfloat16 two registers are loaded and stored as one.
  static constexpr int kTogether = Io::kPlanes == 1 || Io::kPairs ? 2 : 1;

  static constexpr int kReads = inputs_read<Cell>();
  using Inputs = Reader<Io, Cell::kInputs>;
  using InputsRead = Reader<Io, kReads>;  // by a backward pass
  using Params = ParamRows<Io, Cell::kParams>;
  template <int kCount, int kCopies = 0>
  using Rows = PassRows<Io, kCount, Cell::kParams, kCopies>;

  static void forward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    Rows<2, Inputs::kCopies> rows(args, k);
    Row &state = rows.row[0], &h_reset = rows.row[1];
    const Params& params = rows.params;
    const int64_t direction = args.reverse ? -1 : 1, t0 = time_at(args, k.s0);
    begin_carry<Io, kInterleavedBoundary>(args.h0, k, state);
    if (args.reset.data) load_boundary<Io, kInterleavedBoundary>(args.h_reset, k, h_reset);
    Resets resets(args.reset, k, t0, direction);
    Inputs inputs(args, args.inputs, k, t0, direction, rows.copies);
    Writer<Io> y(args.y, k, t0, direction, args.nontemporal);
    with_width<Io>(k.c1 - k.c0, access_to(inputs),
                   [&]<int kFixed, bool kPrefetching>() __attribute__((always_inline)) {
                     const int64_t n = kFixed ? kFixed : k.c1 - k.c0;
                     Local<kFixed> held(state);
                     for (int64_t s = k.s0; s < k.s1; ++s) {
                       if (resets.next()) copy_row(h_reset, n, held);
                       inputs.template prepare<kPrefetching>(n);
                       for_lanes<R, kTogether>(
                           n, direction < 0,
                           [&]<int N, int U>(int64_t c) __attribute__((always_inline)) {
                             Value<N> x[U][Cell::kInputs], p[U][Cell::kParams + 1], h[U];
                             if constexpr (kAsOne<Io, U>) inputs.template load_two<N>(c, x);
                             for (int u = 0; u < U; ++u) {
                               if constexpr (kPrefetching && N > 1)
                                 inputs.template prefetch_next<N>(c + u * N);
                               if constexpr (!kAsOne<Io, U>)
                                 inputs.template load<N>(c + u * N, x[u]);
                               params.template load<N>(c + u * N, p[u]);
                               h[u] = Io::template load_carry<N>(held, c + u * N);
                             }
                             for (int u = 0; u < U; ++u) {
                               const auto gate = Cell::gate(x[u], p[u], args.options);
                               h[u] = stepped<Cell>(gate, h[u]);
                             }
                             for (int u = 0; u < U; ++u) {
                               Io::template store_carry<N>(held, c + u * N, h[u]);
                               if constexpr (!kAsOne<Io, U>) y.template store<N>(c + u * N, h[u]);
                             }
                             if constexpr (kAsOne<Io, U>) y.template store_two<N>(c, h);
                           });
                       inputs.template advance<kPrefetching>();
                       y.advance();
                     }
                   });
    if (args.nontemporal) stream_fence();
    end_carry<Io>(state, k, args.h_last);
  }

  static void summarize_forward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    Rows<3> rows(args, k);
    Row &scale = rows.row[0], &offset = rows.row[1], &h_reset = rows.row[2];
    const Params& params = rows.params;
    const int64_t direction = args.reverse ? -1 : 1, t0 = time_at(args, k.s0);
    set_row(scale, k.c1 - k.c0, R(1));
    set_row(offset, k.c1 - k.c0, R(0));
    if (args.reset.data) load_boundary<Io, kInterleavedBoundary>(args.h_reset, k, h_reset);
    Resets resets(args.reset, k, t0, direction);
    Inputs inputs(args, args.inputs, k, t0, direction);
    with_width<Io>(k.c1 - k.c0, [&]<int kFixed, bool>() __attribute__((always_inline)) {
      const int64_t n = kFixed ? kFixed : k.c1 - k.c0;
      Local<kFixed> scales(scale), offsets(offset);
      for (int64_t s = k.s0; s < k.s1; ++s) {
        if (resets.next()) {
          set_row(scales, n, R(0));
          copy_row(h_reset, n, offsets);
        }
        for_lanes<R>(n, direction < 0, [&]<int N>(int64_t c) __attribute__((always_inline)) {
          Value<N> x[Cell::kInputs], p[Cell::kParams + 1];
          inputs.template load<N>(c, x);
          params.template load<N>(c, p);
          const auto gate = Cell::gate(x, p, args.options);
          Io::template store_carry<N>(scales, c,
                                      product(gate.a, Io::template load_carry<N>(scales, c)));
          Io::template store_carry<N>(offsets, c,
                                      stepped<Cell>(gate, Io::template load_carry<N>(offsets, c)));
        });
        inputs.advance();
      }
    });
    store_map(scale, offset, k);
  }

  static void store_map(const Row& scale, const Row& offset, const Task& k) {
    const int64_t n = k.c1 - k.c0;
    store_carry_row(scale, n, k.carry_out);
    store_carry_row(offset, n, static_cast<R*>(k.carry_out) + Io::kPlanes * n);
  }

  static void combine(const void* map, const void* in, void* out, int64_t n) {
    Row scale, offset, carry;
    load_carry_row(map, n, scale);
    load_carry_row(static_cast<const R*>(map) + Io::kPlanes * n, n, offset);
    load_carry_row(in, n, carry);
    for_lanes<R>(n, false, [&]<int N>(int64_t c) __attribute__((always_inline)) {
      const auto a = Io::template load_carry<N>(scale, c),
                 b = Io::template load_carry<N>(offset, c);
      Io::template store_carry<N>(carry, c, mapped(a, Io::template load_carry<N>(carry, c), b));
    });
    store_carry_row(carry, n, out);
  }

  static StoredRow<Io> stored(Input boundary, const Task& k) {
    Row row;
    load_boundary<Io, kInterleavedBoundary>(boundary, k, row);
    return {row, k.c1 - k.c0};
  }

  static void backward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    Rows<1 + kMaxParams, InputsRead::kCopies + 2 * Reader<Io>::kCopies> rows(args, k);
    Row &carry = rows.row[0], *const dparams = &rows.row[1];
    const Params& params = rows.params;
    const int64_t direction = args.reverse ? 1 : -1, t1 = time_at(args, k.s1 - 1);
    begin_carry<Io, kInterleavedBoundary>(args.dh_last, k, carry);
    for (int i = 0; i < kMaxParams; ++i) set_row(dparams[i], k.c1 - k.c0, R(0));
    const StoredRow<Io> h0 = stored(args.h0, k), h_reset = stored(args.h_reset, k);
    Resets resets(args.reset, k, t1, direction);
    InputsRead inputs(args, args.inputs, k, t1, direction, rows.copies);
    Reader<Io> dy(args, &args.dy, k, t1, direction, rows.copies + InputsRead::kCopies);
    Reader<Io> before(args, &args.states, k, t1 + direction, direction,
                      rows.copies + InputsRead::kCopies + Reader<Io>::kCopies);
    Writer<Io> dx[kMaxInputs] = {{args.dinputs[0], k, t1, direction, args.nontemporal},
                                 {args.dinputs[1], k, t1, direction, args.nontemporal},
                                 {args.dinputs[2], k, t1, direction, args.nontemporal}};
    with_width<Io>(
        k.c1 - k.c0, access_to(inputs, dy, before),
        [&]<int kFixed, bool kPrefetching>() __attribute__((always_inline)) {
          const int64_t n = kFixed ? kFixed : k.c1 - k.c0;
          Local<kFixed> adjoint(carry),
              sums[] = {Local<kFixed>(dparams[0]), Local<kFixed>(dparams[1]),
                        Local<kFixed>(dparams[2])};
          static_assert(kMaxParams == 3);
          for (int64_t s = k.s1 - 1; s >= k.s0; --s) {
            const bool reset = resets.next(), stored = Cell::kUsesState && !reset && s > 0;
            const PlaneRows<Io> end((reset ? h_reset : h0).data, Row::kChannels);
            const S* h_prev[PlaneRows<Io>::kCount];
            for (int i = 0; i < PlaneRows<Io>::kCount; ++i)
              h_prev[i] = stored ? before.at[i] : end.at[i];
            inputs.template prepare<kPrefetching>(n);
            dy.template prepare<kPrefetching>(n);
            if (stored) before.template prepare<kPrefetching>(n);
            for_lanes<R, kTogether>(
                n, direction < 0, [&]<int N, int U>(int64_t c) __attribute__((always_inline)) {
                  Value<N> x[U][Cell::kInputs] = {}, p[U][Cell::kParams + 1],
                           dinput[U][Cell::kInputs], dparam[U][Cell::kParams + 1];
                  Value<N> h[U], g[U], passed[U], sum[U][Cell::kParams + 1];
                  if constexpr (kAsOne<Io, U>) {
                    inputs.template load_two<N>(c, x);
                    dy.template load_two<N>(c, g);
                    if constexpr (Cell::kUsesState) Io::template load_two<N>(h_prev, c, h);
                  }
                  for (int u = 0; u < U; ++u) {
                    if constexpr (kPrefetching && N > 1) {
                      inputs.template prefetch_next<N>(c + u * N);
                      dy.template prefetch_next<N>(c + u * N);
                      before.template prefetch_next<N>(c + u * N);
                    }
                    for (int i = 0; i < Cell::kParams; ++i)
                      sum[u][i] = Io::template load_carry<N>(sums[i], c + u * N);
                    if constexpr (!kAsOne<Io, U>) inputs.template load<N>(c + u * N, x[u]);
                    params.template load<N>(c + u * N, p[u]);
                    if constexpr (!kAsOne<Io, U>) g[u] = dy.template load<N>(c + u * N);
                    g[u] = g[u] + Io::template load_carry<N>(adjoint, c + u * N);
                    if constexpr (!Cell::kUsesState)
                      h[u] = Value<N>{};
                    else if constexpr (!kAsOne<Io, U>)
                      h[u] = Io::template load_value<N>(h_prev, c + u * N);
                  }
                  for (int u = 0; u < U; ++u) {
                    Cell::pullback(x[u], p[u], args.options, h[u], g[u], dinput[u], dparam[u]);
                    passed[u] = handed_back<Cell>(Cell::gate(x[u], p[u], args.options).a, g[u]);
                  }
                  for (int u = 0; u < U; ++u) {
                    Io::template store_carry<N>(adjoint, c + u * N, passed[u]);
                    if constexpr (!kAsOne<Io, U>)
                      for (int i = 0; i < Cell::kInputs; ++i)
                        dx[i].template store<N>(c + u * N, dinput[u][i]);
                    for (int i = 0; i < Cell::kParams; ++i)
                      Io::template store_carry<N>(sums[i], c + u * N, sum[u][i] + dparam[u][i]);
                  }
                  if constexpr (kAsOne<Io, U>)
                    for (int i = 0; i < Cell::kInputs; ++i) {
                      const Value<N> both[] = {dinput[0][i], dinput[1][i]};
                      dx[i].template store_two<N>(c, both);
                    }
                });
            if (reset) {
              if (args.dreset)
                add_row<R>(adjoint, n, args.dreset + k.slot * Io::kPlanes * args.C + k.c0, args.C);
              set_row(adjoint, n, R(0));
            }
            if (Cell::kParams > 0 && (s - k.s0) % kFlush == 0) {
              for (int i = 0; i < Cell::kParams; ++i)
                flush_row<R>(
                    sums[i], n,
                    args.dparams + (k.slot * Cell::kParams + i) * Io::kPlanes * args.C + k.c0,
                    args.C);
            }
            inputs.template advance<kPrefetching>();
            dy.template advance<kPrefetching>();
            before.template advance<kPrefetching>();
            for (int i = 0; i < Cell::kInputs; ++i) dx[i].advance();
          }
        });
    if (args.nontemporal) stream_fence();
    end_carry<Io>(carry, k, args.dh0);
  }

  static void summarize_backward(const ScanArgs& call, const Task& k) {
    const ScanArgs args = call;
    Rows<2> rows(args, k);
    Row &scale = rows.row[0], &offset = rows.row[1];
    const Params& params = rows.params;
    const int64_t direction = args.reverse ? 1 : -1, t1 = time_at(args, k.s1 - 1);
    set_row(scale, k.c1 - k.c0, R(1));
    set_row(offset, k.c1 - k.c0, R(0));
    Resets resets(args.reset, k, t1, direction);
    InputsRead inputs(args, args.inputs, k, t1, direction);
    Reader<Io> dy(args, &args.dy, k, t1, direction);
    with_width<Io>(k.c1 - k.c0, [&]<int kFixed, bool>() __attribute__((always_inline)) {
      const int64_t n = kFixed ? kFixed : k.c1 - k.c0;
      Local<kFixed> scales(scale), offsets(offset);
      for (int64_t s = k.s1 - 1; s >= k.s0; --s) {
        for_lanes<R>(n, direction < 0, [&]<int N>(int64_t c) __attribute__((always_inline)) {
          Value<N> x[Cell::kInputs] = {}, p[Cell::kParams + 1];
          inputs.template load<N>(c, x);
          params.template load<N>(c, p);
          const Value<N> a = Cell::gate(x, p, args.options).a;
          const Value<N> g = dy.template load<N>(c) + Io::template load_carry<N>(offsets, c);
          Io::template store_carry<N>(scales, c,
                                      product(conj(a), Io::template load_carry<N>(scales, c)));
          Io::template store_carry<N>(offsets, c, handed_back<Cell>(a, g));
        });
        if (resets.next()) {
          set_row(scales, n, R(0));
          set_row(offsets, n, R(0));
        }
        inputs.advance();
        dy.advance();
      }
    });
    store_map(scale, offset, k);
  }

  static Kernels kernels() {
    return {forward, summarize_forward, backward, summarize_backward, combine, combine};
  }
};

using affine_table = Kernels;

// The kernels of a cell for a storage; cells have none for numbers that they do not know.
template <AffineCell Cell>
Kernels affine_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Affine<Cell, RealIo<float, float>>::kernels();
    case Storage::f64:
      return Affine<Cell, RealIo<double, double>>::kernels();
    case Storage::bf16:
      return Affine<Cell, RealIo<BFloat16, float>>::kernels();
    case Storage::f16:
      return Affine<Cell, RealIo<Half, float>>::kernels();
    default:
      break;
  }
  if constexpr (kNumbers<Cell> != Numbers::real) {
    if (storage == Storage::c64) return Affine<Cell, ComplexIo<float, float, false>>::kernels();
    if (storage == Storage::c128) return Affine<Cell, ComplexIo<double, double, false>>::kernels();
  }
  if constexpr (kNumbers<Cell> == Numbers::split) {
    switch (storage) {
      case Storage::f32_split:
        return Affine<Cell, ComplexIo<float, float, true>>::kernels();
      case Storage::f64_split:
        return Affine<Cell, ComplexIo<double, double, true>>::kernels();
      case Storage::bf16_split:
        return Affine<Cell, ComplexIo<BFloat16, float, true>>::kernels();
      case Storage::f16_split:
        return Affine<Cell, ComplexIo<Half, float, true>>::kernels();
      default:
        break;
    }
  }
  return {};
}

}  // namespace lrnn::LRNN_ISA
