"""README.md says what the code says."""

import subprocess
import sys

from tests import ROOT


def test_tables_follow_from_the_rows():
    done = subprocess.run([sys.executable, "docs/tables.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "README.md's tables are old: run python docs/tables.py"
