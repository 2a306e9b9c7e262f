"""Triton kernels of the recurrences; see README.md.

lrnn_kernels.triton_backend imports them, and triton, when they are wanted.
"""
