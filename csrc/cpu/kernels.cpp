#include "kernels.h"

#include "matrix.h"

namespace lrnn {
namespace {

// A line of cells/list.h: what it says of the cell, and its kernels, in the one place of the two
// that its engine fills.
struct Entry {
  const CellInfo* info;
  Kernels (*scan)(Storage);
  MatrixKernels (*matrix)(Storage);
};

}  // namespace

// The kernels of every instruction set, in its namespace. The array of one that is not built is
// used nowhere.
#define LRNN_DECLARE_affine(name) Kernels name##_kernels(Storage);
#define LRNN_DECLARE_latch LRNN_DECLARE_affine
#define LRNN_DECLARE_step LRNN_DECLARE_affine
#define LRNN_DECLARE_matrix(name) MatrixKernels name##_kernels(Storage);
#define LRNN_DECLARE(name, header, engine, Cell) \
  extern const CellInfo name##_info;             \
  LRNN_DECLARE_##engine(name)
#define LRNN_ENTRY_affine(name) {&name##_info, name##_kernels, nullptr}
#define LRNN_ENTRY_latch LRNN_ENTRY_affine
#define LRNN_ENTRY_step LRNN_ENTRY_affine
#define LRNN_ENTRY_matrix(name) {&name##_info, nullptr, name##_kernels}
#define LRNN_ENTRY(name, header, engine, Cell) LRNN_ENTRY_##engine(name),
#define LRNN_SET(isa)                                    \
  namespace isa {                                        \
  LRNN_CELLS(LRNN_DECLARE)                               \
  constexpr Entry kEntries[] = {LRNN_CELLS(LRNN_ENTRY)}; \
  }
LRNN_ISAS(LRNN_SET)
#undef LRNN_SET

namespace {

#define LRNN_ROW(isa) LRNN_WHERE_BUILT_##isa(isa::kEntries),
constexpr const Entry* kSets[kIsaCount] = {LRNN_ISAS(LRNN_ROW)};
#undef LRNN_ROW

const Entry* chosen_entry(size_t cell) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? nullptr : kSets[static_cast<int>(isa)] + cell;
}

}  // namespace

bool isa_available(Isa isa) { return kSets[static_cast<int>(isa)] && processor_runs(isa); }

Isa chosen_isa() {
  static const Isa isa = choose_isa(isa_available);
  return isa;
}

// Plain data, which any set's is as good for, also where none runs here.
const CellInfo& cell_info(size_t cell) {
  const Entry* const* set = kSets;
  while (!*set) ++set;
  return *(*set)[cell].info;
}

Kernels find_kernels(size_t cell, Storage storage) {
  const Entry* const entry = chosen_entry(cell);
  return entry && entry->scan ? entry->scan(storage) : Kernels{};
}

MatrixKernels find_matrix_kernels(size_t cell, Storage storage) {
  const Entry* const entry = chosen_entry(cell);
  return entry && entry->matrix ? entry->matrix(storage) : MatrixKernels{};
}

}  // namespace lrnn
