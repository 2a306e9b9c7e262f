"""Triton kernels for the affine cells; see README.md. Imported, with triton, by lrnn_kernels.backends.triton when they are wanted."""
