// Every neuron that is compiled: its name, which is its header's, and its struct. A line is all
// that C++ needs to be told of a new one: the build compiles cpu/population.cpp for each.
#pragma once

#define LRNN_NEURONS(X) \
  X(stg, Stg)           \
  X(da, Da)             \
  X(hh, Hh)
