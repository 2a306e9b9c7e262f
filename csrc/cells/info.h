// What the operators know of a cell, from its struct.
#pragma once

namespace lrnn {

// What a cell's backward pass reads beyond inputs and gradients: nothing, y, one bit per element,
// or saved values of its states.
enum class Saves { nothing, output, bits, steps };

// Which storages a cell has kernels for: real ones, complex ones besides, or also complex ones in
// two planes.
enum class Numbers { real, complex, split };

struct CellInfo {
  const char* name;
  int inputs, params;
  bool complex;
  Saves saves;
  int states;       // states per channel
  int saved;        // values per channel and step, where saves is steps
  bool sequential;  // cannot be split in time
};

}  // namespace lrnn
