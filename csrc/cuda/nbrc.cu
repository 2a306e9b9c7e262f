#include "nbrc_launch.cuh"

namespace lrnn {

using namespace LRNN_ISA;

GpuNbrcKernels find_gpu_nbrc_kernels(Storage storage) {
  switch (storage) {
    case Storage::f32:
      return NbrcLauncher<float, float>::kernels();
    case Storage::f64:
      return NbrcLauncher<double, double>::kernels();
    case Storage::bf16:
      return NbrcLauncher<__nv_bfloat16, float>::kernels();
    case Storage::f16:
      return NbrcLauncher<__half, float>::kernels();
    default:
      return {};
  }
}

}  // namespace lrnn
