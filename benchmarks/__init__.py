"""Speed beside what the memory allows, and learning: ``python -m benchmarks`` runs both in a few
minutes."""
