"""README.md says what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_tables_follow_from_the_rows():
    done = subprocess.run([sys.executable, "docs/tables.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "README.md's tables are old: run python docs/tables.py"
