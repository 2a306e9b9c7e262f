// Matrix products of a few rows with a matrix that stays: what a step of a matrix cell takes, at
// the speed of the registers. A library's product would pack its operands anew at each step, and
// take a call.
//
// The matrix is packed once: its columns in panels of kPanel registers, of which each row is a line
// after the other, so that a product reads it from end to end. A panel is multiplied with kRows
// rows at a time, whose sums stay in registers. Sums are taken in the order of the inner dimension
// wherever a row is, so that results do not depend on how rows are shared out.
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

template <class R>
struct Products {
  static constexpr int64_t kWidth = kPanel * kLanesOf<R>;  // columns of a panel

  // Numbers of a packed (inner, columns) matrix.
  static constexpr int64_t packed_size(int64_t inner, int64_t columns) {
    return inner * padded<R>(columns);
  }
  // Where row k of a panel begins.
  static constexpr int64_t place(int64_t inner, int64_t columns, int64_t panel, int64_t k) {
    const int64_t left = padded<R>(columns) - panel * kWidth;
    return inner * panel * kWidth + k * (left < kWidth ? left : kWidth);
  }

  // Packs columns [first, first + count) of an (inner, columns) matrix: those of w, (inner, count).
  static void pack_columns(Strided<R> w, int64_t inner, int64_t count, int64_t first,
                           int64_t columns, R* packed);
  // Packs row k.
  static void pack_row(const R* row, int64_t inner, int64_t columns, int64_t k, R* packed);

  // y (rows, padded columns) = x (rows, inner) w, or y + x w where add. x may lie transposed: its
  // row stride or its column stride is 1. Of w, packed for so many rows, the first inner ones
  // count.
  static void multiply(Strided<R> x, int64_t rows, int64_t inner, const R* w, int64_t packed_rows,
                       int64_t columns, R* y, int64_t y_row, bool add);

  // y (rows, columns) = x (rows, inner) w' of a matrix w (columns, inner) as it lies, where packing
  // it would cost more than the product.
  static void multiply_few(const R* x, int64_t x_row, int64_t rows, int64_t inner, const R* w,
                           int64_t w_row, int64_t columns, R* y, int64_t y_row);
};

extern template struct Products<float>;
extern template struct Products<double>;

}  // namespace lrnn::LRNN_ISA
