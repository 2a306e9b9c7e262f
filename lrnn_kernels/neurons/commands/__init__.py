"""The commands of ``python -m lrnn_kernels.neurons``, a file each."""
