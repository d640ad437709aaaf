"""On several workers a file's tests stay together, so that what they share is made once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("tests/core/test_globs.py", "tests/test_index.py")


def test_a_file_is_run_by_one_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "no:cacheprovider", *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    workers = defaultdict[str, set[str]](set)
    for worker, path in re.findall(r"^\[(gw\d)\].*? PASSED (\S+?)::", done.stdout, re.MULTILINE):
        workers[path].add(worker)
    assert {path: len(found) for path, found in workers.items()} == dict.fromkeys(FILES, 1)
