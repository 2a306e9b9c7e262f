// How many instructions a CPU kernel runs, for cpu.py through ctypes.
//
// The processor itself counts: with the trap flag set it stops after each instruction, and a signal
// handler adds one. So the count needs no tool, knows every instruction set, and is of the very
// code that is shipped; neither other programs nor other threads change it.
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <new>

#include "../../csrc/cpu/kernels.h"
#include "../../csrc/cpu/matrix.h"
#include "../../csrc/cpu/populations.h"

namespace lrnn {
namespace {

// What a kernel allocates while it is counted comes from here, by a few instructions: how many
// malloc runs depends on what a process has allocated and freed before.
struct Room {
  static constexpr size_t kBytes = size_t{1} << 20, kLine = 64;
  alignas(4096) unsigned char bytes[kBytes];
  size_t left = 0;  // nothing but while counting

  void* take(size_t size) {
    const size_t lines = (size + kLine - 1) / kLine * kLine;
    if (lines > left) return nullptr;
    left -= lines;
    return bytes + left;
  }
  bool holds(const void* block) const { return block >= bytes && block < bytes + kBytes; }
};
Room room;

#if defined(__x86_64__)
volatile int64_t counted;

void count_one(int) { counted = counted + 1; }

// The trap flag is bit 8 of the flags, which go through the stack, below what a function may keep
// there without moving its pointer.
#define LRNN_FLAGS(operation)                                                               \
  asm volatile("sub $128, %%rsp; pushfq; " operation ", (%%rsp); popfq; add $128, %%rsp" :: \
                   : "cc", "memory")

template <class Run>
int64_t instructions(const Run& run) {
  struct sigaction handler = {}, before;
  handler.sa_handler = count_one;
  if (sigaction(SIGTRAP, &handler, &before) != 0) return -1;
  counted = 0;
  room.left = Room::kBytes;
  LRNN_FLAGS("orq $0x100");
  run();
  LRNN_FLAGS("andq $~0x100");
  room.left = 0;
  sigaction(SIGTRAP, &before, nullptr);
  return counted;
}
#else
template <class Run>
int64_t instructions(const Run&) {
  return -1;
}
#endif

enum Pass : int {
  kForward,    // keeping what a backward pass reads
  kInference,  // keeping nothing
  kBackward,
  kBackwardAgain,  // from states before every kInterval-th step
  kSummarizeForward,
  kSummarizeBackward,
  kDrivenForward,  // taking the product of the inputs, too
  kDrivenBackward,
};

constexpr int64_t kInterval = 16;

// All memory of a call, which begins at a page: rows lie the same way beside one another whatever
// the allocator does, for some code asks how they do.
struct Arena {
  static constexpr size_t kBytes = size_t{64} << 20, kPage = 4096;
  std::unique_ptr<char, void (*)(void*)> data{static_cast<char*>(aligned_alloc(kPage, kBytes)),
                                              free};
  size_t used = 0;

  void* take(int64_t bytes) {
    void* const start = data.get() + used;
    used += (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage;
    if (used > kBytes) abort();
    return start;
  }
};

// Memory of numbers between offset - scale and offset + scale that are the same everywhere.
struct Buffer {
  void* const data;

  Buffer(Arena& arena, int64_t count, Storage storage, float scale = 1, float offset = 0)
      : data(arena.take((count + 64) * 8)) {
    memset(data, 0, (count + 64) * 8);
    uint32_t state = 1;
    for (int64_t i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      put(i, storage, offset + scale * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f));
    }
  }
  void put(int64_t i, Storage storage, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    switch (storage) {
      case Storage::bf16:
      case Storage::bf16_split:
        static_cast<uint16_t*>(data)[i] = static_cast<uint16_t>(bits >> 16);
        return;
      case Storage::f16:
      case Storage::f16_split:  // 1/2 to 1
        static_cast<uint16_t*>(data)[i] =
            static_cast<uint16_t>(bits >> 31 << 15 | 0x3800 | (bits >> 13 & 0x3ff));
        return;
      case Storage::f64:
      case Storage::c128:
      case Storage::f64_split:
        static_cast<double*>(data)[i] = value;
        return;
      default:
        static_cast<float*>(data)[i] = value;
    }
  }
};

Storage carry_of(Storage storage) {
  return storage == Storage::f64 || storage == Storage::c128 || storage == Storage::f64_split
             ? Storage::f64
             : Storage::f32;
}

struct Call {
  ScanArgs args;
  const Storage storage;
  const int64_t planes, scalars;
  Arena arena;

  Call(Storage storage, int64_t B, int64_t T, int64_t C)
      : storage(storage),
        planes(storage >= Storage::c64 ? 2 : 1),
        scalars(storage == Storage::c64 || storage == Storage::c128 ? 2 : 1) {
    args.B = B;
    args.T = T;
    args.C = C;
    for (double& option : args.options) option = 0.5;
  }
  void* memory(int64_t count, Storage type, float scale = 1, float offset = 0) {
    return Buffer(arena, count, type, scale, offset).data;
  }
  template <class Void>
  Stream<Void> rows(Void* data, int64_t width, int64_t plane = 0) const {
    return {data, args.T * width, width, plane};
  }
  void* new_stream() { return memory(args.B * args.T * args.C * planes, storage); }
  // A stream of inputs, outputs or their gradients.
  template <class Void>
  Stream<Void> stream(Void* data) const {
    return rows(data, args.C * planes, args.C);
  }
  void streams(int inputs) {
    for (int i = 0; i < inputs; ++i) {
      args.inputs[i] = stream<const void>(new_stream());
      args.dinputs[i] = stream<void>(new_stream());
    }
    args.y = stream<void>(new_stream());
    args.dy = stream<const void>(new_stream());
  }
  void params(int count) {
    for (int i = 0; i < count; ++i)
      args.params[i] = {memory(args.C * planes, carry_of(storage), 0.25f, 0.5f), 0, 0, 0};
  }
};

int64_t scan_instructions(const CellInfo& info, const Kernels& kernels, Storage storage, Pass pass,
                          int64_t T, int64_t C) {
  Call call(storage, 1, T, C);
  ScanArgs& args = call.args;
  const Storage carry = carry_of(storage);
  const bool again = pass == kBackwardAgain, saves = pass != kInference;
  call.streams(info.inputs);
  call.params(info.params);
  if (info.saves == Saves::output) {
    if (again || pass == kInference) return -1;
    args.states = call.stream<const void>(args.y.data);
  } else if (info.saves == Saves::nothing) {
    if (again || pass == kInference) return -1;
  } else if (info.saves == Saves::bits) {
    if (again) return -1;
    if (saves) {
      void* const bits = call.memory((T + 32) * C, Storage::f32, 0);
      args.bits = {static_cast<int32_t*>(bits), 0, C, 0};
      args.saved_bits = {static_cast<const int32_t*>(bits), 0, C, 0};
    }
    args.first_writes = static_cast<int32_t*>(call.memory(C, Storage::f32, 0));
    for (int64_t c = 0; c < C; ++c) args.first_writes[c] = static_cast<int32_t>(T);
  } else {
    if (again && info.saved == 0) return -1;
    args.interval = again ? kInterval : 0;
    const int64_t steps = again ? T / kInterval + 2 : T;
    const int64_t values = again ? info.states : info.saved;
    void* const saved = call.memory(values * steps * C, carry);
    if (saves) {
      args.saved = {saved, values * steps * C, C, steps * C};
      args.states = {saved, values * steps * C, C, steps * C};
    }
  }
  const int64_t sums = info.states * 2 * C;
  args.dparams = static_cast<double*>(call.memory((info.params + 1) * 2 * C, Storage::f64, 0));
  args.dreset = static_cast<double*>(call.memory(sums, Storage::f64, 0));
  args.h_last = {call.memory(sums, carry), 0, 0, C};
  args.dh0 = {call.memory(sums, carry), 0, 0, C};
  Task task;
  task.c1 = C;
  task.s1 = T;
  void (*const passes[])(const ScanArgs&, const Task&) = {
      kernels.forward,  kernels.forward,           kernels.backward,
      kernels.backward, kernels.summarize_forward, kernels.summarize_backward};
  if (pass > kSummarizeBackward || !passes[pass]) return -1;
  kernels.forward(args, task);  // what the others read
  if (pass >= kSummarizeForward) task.carry_out = call.memory(2 * sums, carry);
  passes[pass](args, task);  // what it calls is bound at the first call
  return instructions([&] { passes[pass](args, task); });
}

int64_t matrix_instructions(const CellInfo& info, const MatrixKernels& kernels, Storage storage,
                            Pass pass, int64_t B, int64_t T, int64_t C) {
  const bool backward = pass == kBackward || pass == kDrivenBackward;
  const bool driven = pass == kDrivenForward || pass == kDrivenBackward;
  const Storage carry = carry_of(storage);
  if (pass == kBackwardAgain || pass == kSummarizeForward || pass == kSummarizeBackward) return -1;
  if (driven && (!kernels.drivable || storage != carry)) return -1;
  Call call(storage, B, T, C);
  ScanArgs& args = call.args;
  call.streams(info.inputs);
  call.params(kernels.info.params);
  const int64_t width = kernels.info.saved * C, states = info.states * C;
  void* const saved = call.memory(B * T * width, carry);
  if (pass != kInference) args.saved = call.rows(saved, width, C);
  args.states = call.rows<const void>(saved, width, C);
  args.h_last = {call.memory(B * states, carry), states, 0, C};
  args.dh0 = {call.memory(B * states, carry), states, 0, C};
  MatrixArgs matrices;
  for (int i = 0; i < kernels.info.terms; ++i) matrices.blocks[i] = call.memory(C * C, carry, 0.1f);
  const int64_t channels = driven ? C : 0;
  if (driven) {
    matrices.driven.channels = channels;
    matrices.driven.x = call.rows<const void>(call.new_stream(), C);
    matrices.driven.dx = call.rows<void>(call.new_stream(), C);
    matrices.driven.w = call.memory(info.inputs * C * C, carry, 0.1f);
    matrices.driven.bias = call.memory(info.inputs * C, carry);
  }
  const auto pack = [&](bool backward) {
    void* const packed = call.memory(kernels.packed_bytes(C, channels, backward), Storage::bf16);
    for (int i = 0; i < kernels.info.terms + (driven ? 1 : 0); ++i)
      kernels.pack(matrices, C, backward, i, packed);
    matrices.packed = packed;
  };
  MatrixTask task;
  task.b1 = B;
  const int64_t row = kernels.row(C);
  task.dmatrices = call.memory(kernels.info.terms * C * row, carry, 0);
  task.dparams = static_cast<double*>(call.memory((kernels.info.params + 1) * row, Storage::f64));
  task.dw = call.memory(info.inputs * C * row, carry, 0);
  task.dbias = static_cast<double*>(call.memory(info.inputs * C, Storage::f64));
  Watch watch(nullptr);
  const auto room = [&](bool backward) {
    return call.memory(kernels.memory_bytes(B, C, channels, backward), Storage::bf16);
  };
  task.memory = room(false);
  pack(false);
  if (!backward) return instructions([&] { kernels.forward(args, matrices, task, watch); });
  kernels.forward(args, matrices, task, watch);
  task.memory = room(true);
  pack(true);
  return instructions([&] { kernels.backward(args, matrices, task, watch); });
}

}  // namespace
}  // namespace lrnn

using namespace lrnn;

// Of this library alone (cpu.py links it so), where kernels allocate by new (std::nothrow) T[].
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  void* const block = room.take(size);
  return block ? block : malloc(size);
}
void operator delete[](void* block) noexcept {
  if (!room.holds(block)) free(block);
}
void operator delete[](void* block, size_t) noexcept { operator delete[](block); }

extern "C" {
// The instruction set of the kernels at hand.
const char* lrnn_isa() { return isa_name(chosen_isa()); }

// Instructions of one pass over (B,T,C), B being 1 for cells without matrices; -1 if there is no
// such pass for that storage, or no way to count.
int64_t lrnn_cell_instructions(const char* cell, int storage, int pass, int64_t B, int64_t T,
                               int64_t C) {
  const size_t index = cell_index(cell);
  if (index >= kCellCount) return -1;
  const Storage of = static_cast<Storage>(storage);
  if (const Kernels kernels = find_kernels(index, of); kernels.forward)
    return scan_instructions(cell_info(index), kernels, of, Pass(pass), T, C);
  if (const MatrixKernels kernels = find_matrix_kernels(index, of); kernels.forward)
    return matrix_instructions(cell_info(index), kernels, of, Pass(pass), B, T, C);
  return -1;
}

// Of so many steps of a population of as many neurons as a kernel takes, none of which fires;
// *neurons is their number.
int64_t lrnn_neuron_instructions(const char* model, bool is_double, bool written, int64_t steps,
                                 int64_t* neurons) {
  const PopulationKernels* const kernels =
      find_population(model, is_double, written ? Scheme::written : Scheme::standard);
  if (!kernels) return -1;
  const Storage storage = is_double ? Storage::f64 : Storage::f32;
  Watch watch(nullptr);
  PopulationArgs args = {};
  args.B = *neurons = kernels->lanes * kGroups;
  args.columns = kernels->states + ExtraColumns::count;
  Arena arena;
  void* const shared = arena.take(static_cast<int64_t>(kernels->shared_bytes));
  args.g = Buffer(arena, args.B * kernels->channels, storage, 0.25f, 0.5f).data;
  const Buffer state(arena, args.B * args.columns, Storage::f64, 0.25f, 0.5f);
  args.state = static_cast<double*>(state.data);
  for (int64_t b = 0; b < args.B; ++b)
    args.state[b * args.columns + kernels->states + ExtraColumns::above] = 0;
  args.steps = steps;
  args.dt = 0.025;
  args.up = args.down = 1e30;
  args.record_every = 1;
  args.watch = &watch;
  kernels->share(args.dt, shared);
  return instructions([&] { kernels->run(args, shared, 0, args.B); });
}

// Of a loop of three instructions, so many times: by which the count itself is checked.
int64_t lrnn_loop_instructions(int64_t times) {
#if defined(__x86_64__)
  return instructions([times] {
    int64_t left = times;
    asm volatile("1: nop; sub $1, %0; jnz 1b" : "+r"(left)::"cc");
  });
#else
  (void)times;
  return -1;
#endif
}
}
