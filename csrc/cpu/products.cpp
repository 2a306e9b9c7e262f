#include "products.h"

namespace lrnn::LRNN_ISA {
namespace {

// Terms that are added to a sum one after the other: of longer sums the parts are added, which
// rounds less.
constexpr int64_t kChain = 256;

// kRows rows of x by kVectors registers of a panel.
template <class R, int kRows, int kVectors, bool kTransposed>
void block(Strided<R> x, int64_t inner, const R* w, R* y, int64_t y_row, bool add) {
  using V = Vec<R, kLanesOf<R>>;
  constexpr int64_t kLanes = kLanesOf<R>;
  const int64_t row = kTransposed ? 1 : x.row, step = kTransposed ? x.column : 1;
  const R* at = x.data;
  int64_t k = 0;
  do {
    V sums[kRows][kVectors] = {};
    const int64_t end = inner - k < kChain ? inner : k + kChain;
    for (; k < end; ++k, at += step, w += kVectors * kLanes) {
      V line[kVectors];
      for (int j = 0; j < kVectors; ++j) line[j] = load_raw<V>(w + j * kLanes);
      for (int i = 0; i < kRows; ++i) {
        const V value = V{} + at[i * row];
        for (int j = 0; j < kVectors; ++j) sums[i][j] += value * line[j];
      }
    }
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kVectors; ++j) {
        R* const to = y + i * y_row + j * kLanes;
        store_raw(to, add ? load_raw<V>(to) + sums[i][j] : sums[i][j]);
      }
    add = true;
  } while (k < inner);
}

template <class R, int kVectors, bool kTransposed>
void rows_of_panel(Strided<R> x, int64_t rows, int64_t inner, const R* w, R* y, int64_t y_row,
                   bool add) {
  int64_t i = 0;
  const auto some = [&]<int kRows>() {
    for (; i + kRows <= rows; i += kRows)
      block<R, kRows, kVectors, kTransposed>({x.data + i * x.row, x.row, x.column}, inner, w,
                                             y + i * y_row, y_row, add);
  };
  some.template operator()<kRowsAtOnce>();
  if constexpr (kRowsAtOnce == 8) some.template operator()<4>();
  some.template operator()<2>();
  some.template operator()<1>();
}

template <class R, bool kTransposed>
void all_panels(Strided<R> x, int64_t rows, int64_t inner, const R* w, int64_t packed_rows,
                int64_t columns, R* y, int64_t y_row, bool add) {
  using P = Products<R>;
  for (int64_t i = 0; i < P::panels(columns); ++i) {
    const Panel panel = P::panel(columns, i);
    const R* const part = w + P::place(packed_rows, panel, 0);
    R* const to = y + panel.first * P::kLanes;
    const auto multiply = panel.count == 3   ? rows_of_panel<R, 3, kTransposed>
                          : panel.count == 2 ? rows_of_panel<R, 2, kTransposed>
                                             : rows_of_panel<R, 1, kTransposed>;
    multiply(x, rows, inner, part, to, y_row, add);
  }
}

// Swaps blocks of kBlock by kBlock next to the diagonal, for all sizes from 1 on: a transpose.
template <int kBlock, class V>
LRNN_HD void transpose(V (&rows)[kLanes<V>]) {
  constexpr int kSize = kLanes<V>;
  if constexpr (kBlock < kSize) {
    [&]<int... i>(Indices<i...>) __attribute__((always_inline)) {
      for (int row = 0; row < kSize; ++row) {
        if (row & kBlock) continue;
        const V a = rows[row], b = rows[row + kBlock];
        rows[row] = __builtin_shufflevector(a, b, (i & kBlock ? kSize + i - kBlock : i)...);
        rows[row + kBlock] =
            __builtin_shufflevector(a, b, (i & kBlock ? kSize + i : i + kBlock)...);
      }
    }(MakeIndices<kSize>{});
    transpose<2 * kBlock>(rows);
  }
}

}  // namespace

template <class R>
void Products<R>::pack_columns(const R* w, int64_t inner, int64_t count, int64_t first,
                               int64_t columns, R* packed) {
  using V = Vec<R, kLanesOf<R>>;
  constexpr int64_t kSize = kLanesOf<R>;
  // The last column brings those that fill its register.
  const int64_t end = first + count == columns ? padded<R>(columns) : first + count;
  for (int64_t i = 0; i < panels(columns); ++i) {
    const Panel part = panel(columns, i);
    for (int64_t j = 0; j < part.count; ++j) {
      const int64_t begins = (part.first + j) * kSize, ends = begins + kSize,
                    from = begins > first ? begins : first, to = ends < end ? ends : end;
      if (from >= to) continue;
      R* const lines = packed + place(inner, part, 0) + j * kSize;
      const int64_t line = part.count * kSize;
      int64_t k = 0;
      if (from == begins && to == ends && ends <= first + count)
        for (; k + kSize <= inner; k += kSize) {
          V tile[kSize];
          for (int64_t l = 0; l < kSize; ++l)
            tile[l] = load_raw<V>(w + (begins - first + l) * inner + k);
          transpose<1>(tile);
          for (int64_t l = 0; l < kSize; ++l) store_raw(lines + (k + l) * line, tile[l]);
        }
      for (; k < inner; ++k)
        for (int64_t c = from; c < to; ++c)
          lines[k * line + c - begins] = c < columns ? w[(c - first) * inner + k] : R(0);
    }
  }
}

template <class R>
void Products<R>::pack_row(const R* row, int64_t inner, int64_t columns, int64_t k, R* packed) {
  for (int64_t i = 0; i < panels(columns); ++i) {
    const Panel part = panel(columns, i);
    const int64_t from = part.first * kLanes, whole = part.count * kLanes, left = columns - from,
                  width = left < whole ? left : whole;
    R* const line = packed + place(inner, part, k);
    __builtin_memcpy(line, row + from, width * sizeof(R));
    for (int64_t j = width; j < whole; ++j) line[j] = R(0);
  }
}

template <class R>
void Products<R>::multiply(Strided<R> x, int64_t rows, int64_t inner, const R* w,
                           int64_t packed_rows, int64_t columns, R* y, int64_t y_row, bool add) {
  if (x.column == 1)
    all_panels<R, false>(x, rows, inner, w, packed_rows, columns, y, y_row, add);
  else
    all_panels<R, true>(x, rows, inner, w, packed_rows, columns, y, y_row, add);
}

template struct Products<float>;
template struct Products<double>;

}  // namespace lrnn::LRNN_ISA
