#include "index.h"

#include <string.h>

namespace lrnn {

size_t cell_index(const char* name) {
#define LRNN_NAME(name, header, engine, Cell) #name,
  static constexpr const char* kNames[] = {LRNN_CELLS(LRNN_NAME)};
#undef LRNN_NAME
  size_t i = 0;
  while (i < kCellCount && strcmp(name, kNames[i]) != 0) ++i;
  return i;
}

}  // namespace lrnn
