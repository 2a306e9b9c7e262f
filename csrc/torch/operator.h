// What is around every operator on the CPU: threads, the end of memory, Ctrl-C, and children of
// fork().
#pragma once

#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <exception>
#include <stdexcept>

#include "../cpu/memory.h"
#include "../watch.h"

namespace lrnn {

// Whether this process is a child of fork() whose parent had used threads, as far as can be seen.
// Those of the OpenMP pool are among them, which a child inherits the books of but not the threads:
// its first parallel region waits for them for ever.
bool in_forked_child();
void note_threads();  // that this process uses some

// In such a child, as long as it lives: torch and its BLAS, too, use one thread.
class OneThreadIfForked {
 public:
  OneThreadIfForked();
  ~OneThreadIfForked();
  OneThreadIfForked(const OneThreadIfForked&) = delete;

 private:
  int omp_ = 0, mkl_ = -1;  // as they were; 0 and -1: untouched
};

// What a Watch asks: true if a signal's handler has raised an exception in Python's main thread,
// which calls it.
bool interrupted();

// A call that was left because of that. The exception waits for lrnn_take_interrupt, or for
// Python's next bytecode.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted by a signal") {}
};

// Calls work(i) for every i in [0, count) on torch's threads. The first exception that work throws
// comes out of here as it is, where torch would make another of it.
template <class Work>
void parallel_for(int64_t count, const Work& work) {
  if (count <= 1 || in_forked_child()) {
    for (int64_t i = 0; i < count; ++i) work(i);
    return;
  }
  note_threads();
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end && !failed.load(std::memory_order_relaxed); ++i) {
      try {
        work(i);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  });
  if (error) std::rethrow_exception(error);
}

// Throws what the user is told at the end of memory: torch's own words and type. bytes: 0 if they
// are not known.
[[noreturn]] void tell_out_of_memory(const char* name, const char* pass, size_t bytes,
                                     int64_t freed);

// Runs an operator, run(watch), called name and, for a backward pass, "_backward". Where memory
// ends, what the pool keeps is given back, and the operator, which has changed nothing that was
// there before it, runs once more.
template <class Run>
auto run_operator(const char* name, const char* pass, const Run& run) {
  const OneThreadIfForked threads;
  for (int64_t freed = 0;;) {
    size_t bytes = 0;
    try {
      Watch watch(interrupted);
      return run(watch);
    } catch (const memory::OutOfMemory& error) {
      bytes = error.bytes;
    } catch (const std::bad_alloc&) {
    }
    const int64_t now_freed = memory::empty_cache();
    freed += now_freed;
    if (now_freed == 0 || freed > now_freed) tell_out_of_memory(name, pass, bytes, freed);
  }
}

}  // namespace lrnn
