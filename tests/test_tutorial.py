"""The tutorials as a reader runs them: all blocks, one after another, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"


HARNESS = PAGE.with_name("tutorial-harness.md")


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


@pytest.mark.training
@pytest.mark.slow
def test_the_commands_of_the_library_do_the_same(tmp_path: Path) -> None:
    (shell,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", shell],
        cwd=tmp_path,
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"amplitude SSIM +([\d.]+)", done.stdout)
    assert found and float(found[1]) > 0.8, done.stdout
    made = {"made.npz", "net", "net.h5", "refined.h5", "page.html", "live"}
    assert made <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_every_command_of_the_harness_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    shell = re.findall(r"^```sh\n(.*?)^```$", HARNESS.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "page.sh").write_text("set -e\n" + "\n".join(shell))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "page.sh"],
        cwd=tmp_path,
        env={**os.environ, "PATH": programs, "XDG_STATE_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said = done.stdout
    assert "ledger OK (0 errors, 0 warnings)" in said
    first, second = said.split("OVEN-REPLY-002: waits for the maker", 1)
    assert "guard on the base: fail" in first and "guard on the attempt: pass" in first
    assert "BLOCKED_ON_USER (6)" in first and "exit 6" in first
    assert "landed    OVEN-LIMIT-001, SUITE-GREEN-001" in first
    assert "2 landings on main, 0 with problems" in second
    assert "DONE (0)" in second and "all 3 items are done" in second
    assert (tmp_path / "oven/src/oven.py").read_text().endswith("min(250, minutes * 10)\n")
