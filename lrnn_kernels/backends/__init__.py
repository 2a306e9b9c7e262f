"""Where calls run: the C++ kernels, the CUDA and the Triton kernels, and torch's operators that
stand for all of them.

    choose      which backend runs a call, and why
    cpu, cuda, triton   the three, each with the same functions
    operators   the operators' schemas, shapes without data, vmap
    varying     operators that take a number of theirs as a tensor
    interrupts  Ctrl-C during a long call
    build       compiles csrc/; knows nothing of torch or of the rest of the package

Nothing here knows a recurrence: rows of kernels are handed in.
"""
