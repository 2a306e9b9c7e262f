"""Triton kernels for the affine cells; see README.md. Imported, with triton, by lrnn_kernels.triton_backend when they are wanted."""
