// The table of compiled kernels: one row per cell, one column per instruction set.
#pragma once

#include <stddef.h>

#include "../cells/list.h"
#include "args.h"

namespace lrnn {

// Instruction sets a cell is compiled for, by the names that LRNN_ISA and `info` use.
enum class Isa { baseline, avx2, avx512 };
inline constexpr const char* kIsaNames[] = {"baseline", "avx2", "avx512"};

// The best set that this processor runs and this build holds, or the one that the environment variable LRNN_ISA names.
Isa chosen_isa();
bool isa_available(Isa isa);

// Cells by operator name; the last-write-wins engine stands as the cell "bmru".
struct CellInfo {
  const char* name;
  int inputs, params;
  bool complex, uses_state, saves_bits;
};
extern const CellInfo kCells[];
extern const size_t kCellCount;

// Empty if the cell has no kernel for this storage.
Kernels find_kernels(size_t cell, Storage storage);

}  // namespace lrnn
