// Matrix products of a few rows with a matrix that stays: what a step of a matrix cell takes, at
// the speed of the registers. A library's product would pack its operands anew at each step, and
// take a call.
//
// The matrix is packed once: its columns in panels of kPanel registers, of which each row is a line
// after the other, so that a product reads it from end to end. A panel is multiplied with kRows
// rows at a time, whose sums stay in registers. Sums are taken in the order of the inner dimension,
// long ones in parts, wherever a row is, so that results do not depend on how rows are shared out.
#pragma once

#include "lanes/simd.h"

namespace lrnn::LRNN_ISA {

inline constexpr int kPanel = 3;                                // registers
inline constexpr int kRowsAtOnce = kVectorBytes == 64 ? 8 : 4;  // 24 sums of 32 registers, 12 of 16

template <class R>
inline constexpr int64_t kLanesOf = kVectorBytes / sizeof(R);

// Columns of a packed matrix and of results, whole registers.
template <class R>
constexpr int64_t padded(int64_t columns) {
  return (columns + kLanesOf<R> - 1) / kLanesOf<R> * kLanesOf<R>;
}

// A matrix (rows, columns) by its strides.
template <class R>
struct Strided {
  const R* data;
  int64_t row, column;
};

// Registers [first, first + count) of a row of columns.
struct Panel {
  int64_t first, count;
};

template <class R>
struct Products {
  static constexpr int64_t kLanes = kLanesOf<R>;

  static constexpr int64_t panels(int64_t columns) {
    return (padded<R>(columns) / kLanes + kPanel - 1) / kPanel;
  }
  // All have kPanel registers but the last, or the last two, which share four: one register alone
  // would wait for its loads.
  static constexpr Panel panel(int64_t columns, int64_t i) {
    const int64_t registers = padded<R>(columns) / kLanes, full = registers / kPanel,
                  left = registers - i * kPanel;
    if (registers % kPanel == 1 && full > 0 && i >= full - 1)
      return {(full - 1) * kPanel + (i - full + 1) * 2, 2};
    return {i * kPanel, left < kPanel ? left : kPanel};
  }
  // Numbers of a packed (inner, columns) matrix.
  static constexpr int64_t packed_size(int64_t inner, int64_t columns) {
    return inner * padded<R>(columns);
  }
  // Where row k of a panel begins.
  static constexpr int64_t place(int64_t inner, Panel panel, int64_t k) {
    return (inner * panel.first + k * panel.count) * kLanes;
  }

  // Packs columns [first, first + count) of an (inner, columns) matrix: the rows of w, (count,
  // inner), contiguous.
  static void pack_columns(const R* w, int64_t inner, int64_t count, int64_t first, int64_t columns,
                           R* packed);
  // Packs row k.
  static void pack_row(const R* row, int64_t inner, int64_t columns, int64_t k, R* packed);

  // y (rows, padded columns) = x (rows, inner) w, or y + x w where add. x may lie transposed: its
  // row stride or its column stride is 1. Of w, packed for so many rows, the first inner ones
  // count.
  static void multiply(Strided<R> x, int64_t rows, int64_t inner, const R* w, int64_t packed_rows,
                       int64_t columns, R* y, int64_t y_row, bool add);
};

extern template struct Products<float>;
extern template struct Products<double>;

}  // namespace lrnn::LRNN_ISA
