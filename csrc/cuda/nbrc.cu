#include "launch.cuh"
#include "nbrc.cuh"

namespace lrnn {

using namespace LRNN_ISA;

namespace {

template <class S, class R>
struct Launcher {
  static constexpr int kMax = sizeof(R) == 4 ? 128 : 64;

  // The narrowest block that holds all channels.
  template <int kC, bool kForward>
  static int run(const ScanArgs& args, void* stream) {
    if constexpr (kC < kMax)
      if (args.C > kC) return run<2 * kC, kForward>(args, stream);
    if (args.C > kC) return static_cast<int>(cudaErrorInvalidValue);
    if (args.B == 0) return 0;
    const auto kernel = kForward ? nbrc_forward<S, R, kC> : nbrc_backward<S, R, kC>;
    return launch(kernel, dim3(args.B), dim3(kC * kParts), stream, args, Brc<R>(nullptr));
  }
  static GpuNbrcKernels kernels() { return {kMax, run<32, true>, run<32, false>}; }
};

}  // namespace

GpuNbrcKernels find_gpu_nbrc_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return Launcher<float, float>::kernels();
    case Storage::f64:
      return Launcher<double, double>::kernels();
    case Storage::bf16:
      return Launcher<__nv_bfloat16, float>::kernels();
    case Storage::f16:
      return Launcher<__half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn
