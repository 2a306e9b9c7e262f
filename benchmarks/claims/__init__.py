"""Does it learn: the same small network around every cell. ``python -m benchmarks.claims
TASK``."""
