"""Speed beside what the memory allows, and learning: ``python -m benchmarks`` runs both in a few
minutes.

measure/ is what measures and prints; cpu/ and gpu/ are speed, resources/ what compilers say of the
kernels and how many instructions they run, claims/ what takes long; results/ is what they found.
What is measured of a cell, its row says (lrnn_kernels/cells): no list here names one.
"""
