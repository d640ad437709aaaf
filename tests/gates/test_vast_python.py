"""Python too vast to walk: a child with bounds reads it, or says where it stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import Project

VAST = {
    "a chain of 4 MB": "x" + ".a" * 2_000_000 + "\n",
    "3 MB of names": "a\n" * 1_500_000,
    "2 MB of tests": "def test_a():\n    assert 1\n" * 70_000,
    "comparisons without end": "def add(a, b):\n" + "    a == 2\n" * 200_000,
    "9 MB": "x = 1\n" * 1_600_000,
}
MEASURED = """
import json, resource, sys
from pathlib import Path
from orchestration.gates.tamper import scan
from orchestration.gates.relevance import touched_lines
from orchestration.git import Repo
root, base, head, path = sys.argv[1:]
found = scan(Repo(Path(root)), base, head, guard=["tests/test_calc.py::test_add"])
touched_lines(Repo(Path(root)), base, head, [path])
usages = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
# A process counts its parent's peak as its own from fork to exec: VmHWM begins with the program.
status = Path("/proc/self/status").read_text()
own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps([[f.rule for f in found], [own // 1024, usages[1].ru_maxrss // 1024],
                  sum(u.ru_utime + u.ru_stime for u in usages)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("text", VAST.values(), ids=VAST.keys())
@pytest.mark.parametrize("where", ["calc/more.py", "tests/test_more.py"])
def test_vast_python_is_bounded_in_memory_and_time(project: Project, where: str, text: str) -> None:
    head = project.attempt({where: text})
    words = [str(project.repo.root), project.base, head, where]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    done = subprocess.run([sys.executable, "-c", MEASURED, *words], env=env, text=True,
                          capture_output=True, check=True)  # fmt: skip
    rules, peaks, seconds = json.loads(done.stdout)
    assert {"P00", "T00", "T01", "T03"} & set(rules), rules
    assert max(peaks) < 300, f"{peaks} MB"
    assert seconds < 45, f"{seconds} s of processor time"
