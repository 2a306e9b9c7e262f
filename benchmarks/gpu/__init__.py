"""All that a GPU can prove: ``python -m benchmarks.gpu``."""
