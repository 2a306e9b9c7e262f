// What the operators know of a cell, from its struct.
#pragma once

#include <stddef.h>

#include "list.h"

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

#define LRNN_INDEX(name, header, engine, Cell) kCell_##name,
enum CellIndex : size_t { LRNN_CELLS(LRNN_INDEX) kCellCount };
#undef LRNN_INDEX

// Each backend's table of kernels knows where the structs were compiled.
const CellInfo& cell_info(size_t cell);

// kCellCount if there is no such cell.
size_t cell_index(const char* name);

}  // namespace lrnn
