// What the operators know of each cell, from the structs in cells/: one table for all backends.
#pragma once

#include <stddef.h>

#include "cells/list.h"

namespace lrnn {

// What a cell's backward pass reads beyond inputs and gradients: nothing, y, one bit per element, or saved values of its states.
enum class Saves { nothing, output, bits, steps };

// Cells by operator name: the affine ones, the last-write-wins engine as "bmru", the step cells.
struct CellInfo {
  const char* name;
  int inputs, params;
  bool complex;
  Saves saves;
  int states;       // states per channel
  int saved;        // values per channel and step, where saves is steps
  bool sequential;  // cannot be split in time
};

#define LRNN_COUNT(name, Cell) +1
inline constexpr size_t kCellCount = LRNN_AFFINE_CELLS(LRNN_COUNT) + 1 LRNN_STEP_CELLS(LRNN_COUNT);
#undef LRNN_COUNT
extern const CellInfo kCells[kCellCount];

// kCellCount if there is no such cell.
size_t cell_index(const char* name);

}  // namespace lrnn
