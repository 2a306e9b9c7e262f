// The table of compiled kernels: of every instruction set, one per cell.
#pragma once

#include "../args.h"
#include "../cells/index.h"
#include "../isa.h"

namespace lrnn {

// The best set that this processor runs and this build holds, or the one that the environment
// variable LRNN_ISA names.
Isa chosen_isa();
bool isa_available(Isa isa);

// Empty if the cell has no kernel for this storage.
Kernels find_kernels(size_t cell, Storage storage);

}  // namespace lrnn
