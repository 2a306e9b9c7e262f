// What the operators ask of the device that a call's tensors lie on. The tests have an
// implementation of their own, for CPU tensors.
#pragma once

#include "../cuda/plan.h"
#include "tensors.h"

namespace lrnn {

// Makes a tensor's device the current one for as long as it lives; new_tensor allocates there.
class DeviceScope {
 public:
  explicit DeviceScope(const Tensor& x);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  const Gpu& gpu() const { return gpu_; }
  void* stream() const { return stream_; }  // torch's current one

 private:
  Gpu gpu_;
  void* stream_;
  void* guard_ = nullptr;
  int32_t outer_ = 0;  // the device of the scope around this one
};

// Throws unless a launch returned 0, in the words of the runtime.
void check_launch(int error, const char* what);

}  // namespace lrnn
