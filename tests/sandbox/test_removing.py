"""What a hostile program leaves in a temporary folder does not stop the harness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.sandbox import scratch

DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chmod(".", 0)
"""


def test_a_folder_too_deep_for_pythons_own_walk_is_removed() -> None:
    with scratch("deep-") as folder:
        subprocess.run([sys.executable, "-c", DEEP, str(folder)], check=True)
    assert not folder.exists()


def test_a_folder_that_is_gone_already_is_no_problem() -> None:
    with scratch("gone-") as folder:
        folder.rmdir()
    assert not Path(folder).exists()
