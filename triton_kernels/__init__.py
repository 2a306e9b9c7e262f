"""Triton kernels of the recurrences; see README.md.

lrnn_kernels.backends.triton imports them, and triton, when they are wanted.
"""
