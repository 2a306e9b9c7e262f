"""Compiles csrc/ into shared libraries, at install time (setup.py) or on first use, and finds what
was compiled.

The torch operators use only torch's stable ABI: built once against any torch >= 2.11 they load into
every later one. The fixed-point network is a Python extension that needs no torch, and fits one
Python. Kernels include no torch and no Python header and are compiled once per recurrence and
instruction set; the processor picks at run time. The CUDA operators are a library of their own,
which nvcc makes: it loads beside any torch, with or without CUDA.

    environment   every environment variable, parsed and refused in one place
    toolchain     compilers, instruction sets
    sources       what a library is compiled from, and the digest of that: content decides, never a
                  date
    libraries     what the three libraries consist of
    log           what is said meanwhile: the logger lrnn_kernels, progress
    compiling     objects by their content, ninja
    cache         compiled libraries: found, verified, compiled where they are missing

Nothing here imports torch or the rest of the package, so that setup.py can use it.
"""
