// Complex numbers over a scalar or a SIMD register, and the three operations that make real and
// complex cells one source.
#pragma once

#include "functions.h"

namespace lrnn::LRNN_ISA {

template <class V>
struct Complex {
  V re, im;
};

template <class V>
LRNN_HD Complex<V> operator+(Complex<V> x, Complex<V> y) {
  return {x.re + y.re, x.im + y.im};
}
template <class V>
LRNN_HD Complex<V> operator*(Complex<V> x, Complex<V> y) {
  return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

template <class V>
LRNN_HD V conj(V x) {
  return x;
}
template <class V>
LRNN_HD Complex<V> conj(Complex<V> x) {
  return {x.re, -x.im};
}

// if_zero where a is exactly 0, else otherwise: a factor of 0 drops what it multiplies, infinite or
// not.
template <class V>
LRNN_HD V where_zero(V a, V if_zero, V otherwise) {
  return a == V{} ? if_zero : otherwise;
}
template <class V>
LRNN_HD Complex<V> where_zero(Complex<V> a, Complex<V> if_zero, Complex<V> otherwise) {
  const auto zero = (a.re == V{}) & (a.im == V{});
  return {zero ? if_zero.re : otherwise.re, zero ? if_zero.im : otherwise.im};
}

// x * y, and 0 where either is exactly 0, though the other be infinite: how the factors of many
// steps are multiplied, which may overflow where no state does.
template <class V>
LRNN_HD V product(V x, V y) {
  return where_zero(x, V{}, where_zero(y, V{}, x * y));
}

// x * y + z, each product rounded once where the target has a fused multiply-add.
template <class V>
LRNN_HD V multiply_add(V x, V y, V z) {
  return x * y + z;
}
template <class V>
LRNN_HD Complex<V> multiply_add(Complex<V> x, Complex<V> y, Complex<V> z) {
  return {multiply_add(-x.im, y.im, multiply_add(x.re, y.re, z.re)),
          multiply_add(x.im, y.re, multiply_add(x.re, y.im, z.im))};
}

// What the map of a run of steps, scale * carry + offset, makes of a carry. A scale of 0 drops it,
// infinite or not: a reset is in between, or its factors' product is nothing. And a carry of 0
// stays 0, though the scale has overflowed.
template <class V>
LRNN_HD V mapped(V scale, V carry, V offset) {
  return where_zero(scale, offset, where_zero(carry, offset, multiply_add(scale, carry, offset)));
}

}  // namespace lrnn::LRNN_ISA
