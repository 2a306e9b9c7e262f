// Ctrl-C during a long call: whoever waits in it asks from time to time whether to go on.
#pragma once

#include <pthread.h>
#include <stdint.h>

#include <atomic>

namespace lrnn {

// One call's. The thread that makes the call asks, at most every 50 ms; other threads that work for
// it learn the answer. Nothing here is inline, since kernels are compiled for several instruction
// sets and may share no code.
class Watch {
 public:
  explicit Watch(bool (*interrupted)());  // null: nobody interrupts
  // Called between stretches of work, in elements that take about a nanosecond each; false: leave,
  // the result is of no use.
  bool go_on(int64_t work);
  void stop();
  bool stopped() const;

 private:
  bool (*const interrupted_)();
  const pthread_t caller_;
  int64_t work_ = 0;      // since the clock was read last
  int64_t asked_at_ = 0;  // nanoseconds; 0: the clock has not been read
  std::atomic<bool> stopped_{false};
};

}  // namespace lrnn
