// The device as torch and the CUDA runtime see it, and the registration of the operators for CUDA
// tensors.
//
// The library is linked against torch's CPU part only, so that it loads beside any torch and
// without a driver. What lives in torch's CUDA part is looked up when a CUDA tensor arrives, since
// that part is then loaded.
#include "device.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "cuda.h"

namespace lrnn {
namespace {

// Nanoseconds from a load to its data on a busy device, with a margin.
constexpr double kLatency = 800;
// Where the runtime does not tell the memory's clock.
constexpr int64_t kBytesInFlight = int64_t{2} << 20;

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, device) == cudaSuccess ? value : 0;
}

Gpu ask_gpu(int device) {
  // Two transfers per clock; kHz times bits.
  const double bytes_per_ns = 2.0 * attribute(cudaDevAttrMemoryClockRate, device) *
                              attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8e6;
  const int64_t in_flight = static_cast<int64_t>(bytes_per_ns * kLatency);
  return {in_flight > 0 ? in_flight : kBytesInFlight,
          attribute(cudaDevAttrMultiProcessorCount, device),
          attribute(cudaDevAttrL2CacheSize, device)};
}

// Set by whoever tunes it; 0: as the device is known.
std::atomic<int64_t> bytes_in_flight{0};

Gpu gpu_of(int device) {
  static std::mutex mutex;
  static std::vector<Gpu> known;
  const std::lock_guard<std::mutex> lock(mutex);
  while (static_cast<int>(known.size()) <= device)
    known.push_back(ask_gpu(static_cast<int>(known.size())));
  Gpu gpu = known[device];
  if (const int64_t wanted = bytes_in_flight; wanted > 0) gpu.bytes_in_flight = wanted;
  return gpu;
}

// Of the innermost scope of this thread. The runtime in this library may not know what torch's has
// made current.
thread_local int32_t scope_device = 0;

using CurrentStream = AOTITorchError (*)(int32_t device, void** stream);

CurrentStream find_current_stream() {
  constexpr const char* kName = "aoti_torch_get_current_cuda_stream";
  if (void* const found = dlsym(RTLD_DEFAULT, kName)) return reinterpret_cast<CurrentStream>(found);
  void* const library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  return library ? reinterpret_cast<CurrentStream>(dlsym(library, kName)) : nullptr;
}

void* current_stream(int device) {
  static const CurrentStream ask = find_current_stream();
  STD_TORCH_CHECK(ask,
                  "lrnn_kernels: this torch has no CUDA part that could name its current stream");
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(ask(device, &stream));
  return stream;
}

}  // namespace

DeviceScope::DeviceScope(const Tensor& x) {
  const int32_t device = x.get_device_index();
  DeviceGuardHandle guard = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_create_device_guard(device, &guard));
  guard_ = guard;
  outer_ = scope_device;
  scope_device = device;
  gpu_ = gpu_of(device);
  stream_ = current_stream(device);
}

DeviceScope::~DeviceScope() {
  scope_device = outer_;
  aoti_torch_delete_device_guard(static_cast<DeviceGuardHandle>(guard_));
}

void check_launch(int error, const char* what) {
  STD_TORCH_CHECK(error == 0, what, ": CUDA error ", error, ": ",
                  cudaGetErrorString(static_cast<cudaError_t>(error)));
}

Tensor new_tensor(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                  ScalarType type, const Beside&) {
  return torch_empty(sizes, strides, type, torch::headeronly::DeviceType::CUDA, scope_device);
}

}  // namespace lrnn

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CUDA, m) { lrnn::register_gpu_operators(m); }

// For python -m benchmarks gpu, through ctypes: plans of all devices from now on.
extern "C" void lrnn_gpu_set_bytes_in_flight(int64_t bytes) { lrnn::bytes_in_flight = bytes; }
