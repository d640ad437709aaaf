"""doctor tells the level of the fence, what it leaves open, and guards that need more of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestration.config import load_config
from orchestration.git import Repo
from orchestration.sandbox import FILE_FENCES, available
from orchestration.setup.behind import fence_rows, guard_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
from behind import somewhere

fenced = pytest.mark.skipif(
    available()[0] not in FILE_FENCES, reason="no fence for files works here"
)
LEDGER = """# Plan

### [A-001] One
- Status: open
- Guard: tests/test_a.py

### [A-002] Two
- Status: open
- Guard: tests/test_b.py
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A person's data outside the repository, and outside /tmp, which a guard has for itself."""
    folder = somewhere()
    (folder / "scan.npz").write_text("frames")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repo"
    for name in ("docs", "tests"):
        (root / name).mkdir(parents=True)
    (root / "docs/fix_plan.md").write_text(LEDGER)
    read = f"def test_it():\n    assert open('{data}/scan.npz').read() == 'frames'\n"
    (root / "tests/test_a.py").write_text(read)
    (root / "tests/test_b.py").write_text("def test_it():\n    assert 1 == 1\n")
    for words in ("init -q -b main", "add .", "-c user.name=A -c user.email=a@b.c commit -qm x"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return root


@fenced
def test_a_guard_that_the_fence_changes_is_told_with_the_path_it_misses(
    root: Path, data: Path
) -> None:
    first, second = guard_rows(Repo(root), load_config(root))
    assert first.state == "warn" and "1 failed" in first.found and "1 passed" in first.found
    assert first.fix == f"guard_read: [{data}/scan.npz]"
    assert second.state == "ok" and "tests/test_b.py: 1 passed" in second.found
    (root / "orchestration.yaml").write_text(first.fix + "\n")  # what it says is enough
    rows = guard_rows(Repo(root), load_config(root))
    assert [row.state for row in rows] == ["ok", "ok"]


def told(root: Path, text: str) -> str:
    (root / "orchestration.yaml").write_text(text)
    return " ".join(f"{row.state} {row.found}" for row in fence_rows(load_config(root)))


@fenced
def test_what_the_fence_leaves_open_is_told(root: Path, data: Path) -> None:
    level = available()[0]
    assert told(root, "").startswith(f"ok {level}: only what is named")
    assert "agents reach the network" in told(root, "")
    assert "guards and checks reach" not in told(root, "")
    assert "guards and checks reach the network" in told(root, "guard_network: on\n")
    assert f"agents also reach {data}" in told(root, f"agent_read: [{data}]\n")
    assert "nothing that is named here" in told(root, "network: off\n")


def test_no_fence_is_a_warning(root: Path) -> None:
    assert told(root, "isolation: none\n").startswith("warn scan: every file that you can read")
