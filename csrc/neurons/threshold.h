// A threshold of the voltage, as numbers of a type can reach it.
#pragma once

namespace lrnn::LRNN_ISA {

// The least number of R that is a threshold or more.
template <class R>
R reached(double threshold) {
  const R nearest = static_cast<R>(threshold);
  if (!(nearest < threshold)) return nearest;
  if constexpr (sizeof(R) == 4)
    return __builtin_nextafterf(nearest, __builtin_inff());
  else
    return __builtin_nextafter(nearest, __builtin_inf());
}

}  // namespace lrnn::LRNN_ISA
