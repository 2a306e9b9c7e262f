// The table of compiled kernels: one row per cell, one column per instruction set.
#pragma once

#include <stddef.h>

#include "../cells/list.h"
#include "../isa.h"
#include "args.h"

namespace lrnn {

// The best set that this processor runs and this build holds, or the one that the environment variable LRNN_ISA names.
Isa chosen_isa();
bool isa_available(Isa isa);

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
extern const CellInfo kCells[];
extern const size_t kCellCount;

// Empty if the cell has no kernel for this storage.
Kernels find_kernels(size_t cell, Storage storage);

}  // namespace lrnn
