// The library of operators. A process may define them once.
#include "schemas.h"

STABLE_TORCH_LIBRARY(lrnn_kernels, m) { lrnn::define_operators(m); }
