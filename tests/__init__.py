"""The tests, a room for each kind of promise. Where they and the sources are."""

import os
from pathlib import Path

#: The folder of the repository.
ROOT = Path(__file__).resolve().parents[1]

# Small calls on several threads: where the machine has other work too, threads that spin while they
# wait for one another take ten times as long. Read as torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
