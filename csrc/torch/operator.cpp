#include "operator.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>

#include <mutex>
#include <string>

namespace lrnn {
namespace {

// Of this process, the calling one included; 2 where the system does not tell.
int count_threads() {
  DIR* const tasks = opendir("/proc/self/task");
  if (!tasks) return 2;
  int count = 0;
  while (const dirent* const entry = readdir(tasks)) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

// NumPy's BLAS has threads from the start, which a fork does not harm: what counts are those that
// came later.
const int threads_at_load = count_threads();

std::atomic<bool> used_threads{false};
bool forked = false, had_threads = false;
[[maybe_unused]] const int registered =
    pthread_atfork([] { had_threads = used_threads || count_threads() > threads_at_load; }, nullptr,
                   [] { forked = forked || had_threads; });

// Of the OpenMP and the MKL that torch uses; null where it uses none.
template <class Function>
Function* find(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

// Of Python's C API, which this library is not linked with; lrnn_watch_signals sets them.
struct Python {
  int (*lock)() = nullptr;
  void (*unlock)(int) = nullptr;
  int (*check_signals)() = nullptr;
  void (*fetch)(void** type, void** value, void** traceback) = nullptr;
  void (*restore)(void* type, void* value, void* traceback) = nullptr;
  void (*clear)() = nullptr;
  int (*add_pending_call)(int (*call)(void*), void* argument) = nullptr;
} python;
pthread_t main_thread;

// What a handler raised: owned references, under Python's lock.
struct Raised {
  void *type = nullptr, *value = nullptr, *traceback = nullptr;
} raised;

int restore_raised() {
  if (!raised.type) return 0;
  const Raised taken = raised;
  raised = {};
  python.restore(taken.type, taken.value, taken.traceback);
  return -1;
}

std::string mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

bool in_forked_child() { return forked; }
void note_threads() { used_threads.store(true, std::memory_order_relaxed); }

OneThreadIfForked::OneThreadIfForked() {
  if (!forked) return;
  static const auto get_threads = find<int()>("omp_get_max_threads");
  static const auto set_threads = find<void(int)>("omp_set_num_threads");
  static const auto set_mkl_threads = find<int(int)>("MKL_Set_Num_Threads_Local");
  if (get_threads && set_threads) {
    omp_ = get_threads();
    set_threads(1);
  }
  if (set_mkl_threads) mkl_ = set_mkl_threads(1);
}

OneThreadIfForked::~OneThreadIfForked() {
  if (omp_ > 0) find<void(int)>("omp_set_num_threads")(omp_);
  if (mkl_ >= 0) find<int(int)>("MKL_Set_Num_Threads_Local")(mkl_);
}

bool interrupted() {
  if (!python.lock || !pthread_equal(pthread_self(), main_thread)) return false;
  const int state = python.lock();
  const bool raises = python.check_signals() != 0;
  if (raises) {
    Raised latest;
    python.fetch(&latest.type, &latest.value, &latest.traceback);
    if (restore_raised() != 0) python.clear();  // one that nobody has taken
    raised = latest;
    // Whoever called the operator takes it. A compiled graph does not: then it comes up as soon as
    // Python runs.
    python.add_pending_call([](void*) { return restore_raised(); }, nullptr);
  }
  python.unlock(state);
  return raises;
}

void tell_out_of_memory(const char* name, const char* pass, size_t bytes, int64_t freed) {
  const memory::Stats now = memory::stats();
  const std::string tried =
      bytes ? "you tried to allocate " + std::to_string(bytes) + " bytes" : "working memory";
  throw std::runtime_error(std::string(name) + pass +
                           ": DefaultCPUAllocator: can't allocate memory: " + tried +
                           ". The pool of outputs has " + mebibytes(now.in_use) + " in use and " +
                           mebibytes(now.cached) + " cached, after it gave back " +
                           mebibytes(freed) + "; see lrnn_kernels.memory");
}

}  // namespace lrnn

// What lrnn_kernels/interrupts.py calls.
extern "C" {
// Functions of Python's C API, in the order of struct Python, and the identity of its main thread.
void lrnn_watch_signals(void* const* functions, unsigned long main_thread) {
  using lrnn::python;
  lrnn::main_thread = main_thread;
  python.unlock = reinterpret_cast<void (*)(int)>(functions[1]);
  python.check_signals = reinterpret_cast<int (*)()>(functions[2]);
  python.fetch = reinterpret_cast<void (*)(void**, void**, void**)>(functions[3]);
  python.restore = reinterpret_cast<void (*)(void*, void*, void*)>(functions[4]);
  python.add_pending_call = reinterpret_cast<int (*)(int (*)(void*), void*)>(functions[6]);
  python.clear = reinterpret_cast<void (*)()>(functions[5]);
  python.lock = reinterpret_cast<int (*)()>(functions[0]);
}
// Makes the exception that an interrupted call has left the one that Python raises; called under
// Python's lock (ctypes.PyDLL).
void lrnn_raise_interrupt() { lrnn::restore_raised(); }
}
