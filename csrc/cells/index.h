// The cells of list.h by number. Kernels do not include this: a new line compiles no other anew.
#pragma once

#include <stddef.h>

#include "info.h"
#include "list.h"

namespace lrnn {

#define LRNN_INDEX(name, header, engine, Cell) kCell_##name,
enum CellIndex : size_t { LRNN_CELLS(LRNN_INDEX) kCellCount };
#undef LRNN_INDEX

// Each backend's table of kernels knows where the structs were compiled.
const CellInfo& cell_info(size_t cell);

// kCellCount if there is no such cell.
size_t cell_index(const char* name);

}  // namespace lrnn
