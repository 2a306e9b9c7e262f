#include "watch.h"

#include <time.h>

namespace lrnn {
namespace {

constexpr int64_t kLook = 1 << 18;  // work between two looks at the clock
constexpr int64_t kInterval =
    50 * 1000000;  // nanoseconds between two questions, each of which takes Python's lock

int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1000000000 + t.tv_nsec;
}

}  // namespace

Watch::Watch(bool (*interrupted)()) : interrupted_(interrupted), caller_(pthread_self()) {}

bool Watch::go_on(int64_t work) {
  if (interrupted_ && pthread_equal(pthread_self(), caller_) && (work_ += work) >= kLook) {
    work_ = 0;
    const int64_t time = now();
    if (asked_at_ == 0) asked_at_ = time;
    if (time - asked_at_ >= kInterval) {
      if (interrupted_()) stop();
      asked_at_ = now();
    }
  }
  return !stopped();
}

void Watch::stop() { stopped_.store(true, std::memory_order_relaxed); }
bool Watch::stopped() const { return stopped_.load(std::memory_order_relaxed); }

}  // namespace lrnn
