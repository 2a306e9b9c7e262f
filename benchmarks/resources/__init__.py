"""What kernels take of a GPU, from their compilers; no GPU is needed."""
