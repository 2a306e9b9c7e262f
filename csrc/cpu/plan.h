// How a scan is cut into tasks: a pure function of its shape, its bytes and the machine.
#pragma once

#include <stdint.h>

namespace lrnn {

struct Machine {
  int64_t threads;
  int64_t last_level_cache;  // bytes
};

struct Problem {
  int64_t B, T, C;
  int64_t channels_per_row;  // channels whose carry fills one row buffer
  int64_t step_bytes;  // bytes read and written per time step of one batch element, all channels
  bool aligned;        // every output row starts and ends on a 64-byte boundary
  bool sequential = false;  // cannot be split in time
  int64_t cost_bytes = 0;   // bytes that take as long as the arithmetic of one step, if that takes
                            // longer than its own bytes
};

struct Plan {
  int64_t threads;   // that share the work
  int64_t block;     // channels per task
  int64_t chunk;     // steps per task; T unless the sequence is split in time
  bool nontemporal;  // outputs bypass the caches
  int64_t blocks(int64_t C) const { return (C + block - 1) / block; }
  int64_t chunks(int64_t T) const { return T > chunk ? (T + chunk - 1) / chunk : 1; }
};

Plan make_plan(const Problem& problem, const Machine& machine);

// The same of a pass that reads its streams, once, and makes no more than the map of a sequence:
// any cut of time serves threads that have too few lanes.
Plan make_map_plan(const Problem& problem, const Machine& machine);

}  // namespace lrnn
