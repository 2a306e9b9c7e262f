"""Triton kernels for every cell; see README.md for what is here."""
