#include "populations.h"

#include <string.h>

#include "../neurons/list.h"
#include "kernels.h"

namespace lrnn {

// The kernels of every instruction set, in its namespace.
#define LRNN_DECLARE(name, Model) \
  const PopulationKernels* name##_population(bool is_double, Scheme scheme);
#define LRNN_ENTRY(name, Model) {#name, name##_population},
#define LRNN_SET(isa)                               \
  namespace isa {                                   \
  LRNN_NEURONS(LRNN_DECLARE)                        \
  constexpr struct {                                \
    const char* name;                               \
    const PopulationKernels* (*find)(bool, Scheme); \
  } kPopulations[] = {LRNN_NEURONS(LRNN_ENTRY)};    \
  }
LRNN_ISAS(LRNN_SET)
#undef LRNN_SET

namespace {

template <class Entries>
const PopulationKernels* find_in(const Entries& entries, const char* model, bool is_double,
                                 Scheme scheme) {
  for (const auto& entry : entries)
    if (strcmp(entry.name, model) == 0) return entry.find(is_double, scheme);
  return nullptr;
}

using Find = const PopulationKernels* (*)(const char*, bool, Scheme);
#define LRNN_FIND(isa)                                                          \
  LRNN_WHERE_BUILT_##isa([](const char* model, bool is_double, Scheme scheme) { \
    return find_in(isa::kPopulations, model, is_double, scheme);                \
  }),
constexpr Find kFind[kIsaCount] = {LRNN_ISAS(LRNN_FIND)};
#undef LRNN_FIND

}  // namespace

const PopulationKernels* find_population(const char* model, bool is_double, Scheme scheme) {
  const Isa isa = chosen_isa();
  return isa == Isa::none ? nullptr : kFind[static_cast<int>(isa)](model, is_double, scheme);
}

}  // namespace lrnn
