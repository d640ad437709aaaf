"""docs/tutorial.md as a reader runs it: all code blocks, one after another, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_first_block_is_ten_lines_of_the_public_api() -> None:
    lines = [line for line in blocks()[0].splitlines() if line]
    assert len(lines) <= 10
    names = {"open_scan", "simulate", "train", "reconstruct", "refine", "evaluate", "load"}
    assert names <= set(re.findall(r"ptycho\.(\w+)", blocks()[0]))


@pytest.mark.training
@pytest.mark.slow
def test_the_code_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "tutorial.py").write_text("\n".join(blocks()))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "tutorial.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"phase SSIM ([\d.]+), residual ([\d.]+)", done.stdout)
    assert found and float(found[1]) > 0.6 and float(found[2]) < 0.2, done.stdout
    assert "(144, 32, 32) (144, 2) (1, 32, 32)" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "tutorial.py",
        "scan.npz",
        "run",
        "object.h5",
    }
