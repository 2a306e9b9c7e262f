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

// What they know of a matrix cell besides, whose CellInfo has neither parameters nor saved values.
struct MatrixInfo {
  int terms, late;  // blocks of (C,C); those of them, the last ones, that multiply a later vector
  int params;       // vectors
  int saved;        // values per channel and step, the states before it being the last of them
};

}  // namespace lrnn
