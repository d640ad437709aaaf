"""The harness's own installation, where an agent could write it: a change of it stops the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
LEDGER = (
    "### [A-001] value.txt is right\n- Status: open\n- Exit:\n"
    "  - [ ] C1 `cmp value.txt wanted.txt` — right\n"
)
FILES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}
PROGRAM = "from orchestration.cli import main; main()"
EDITS = {
    "nothing": "",
    "a module of it": "(copy / 'orchestration/errors.py').open('a').write('# evil')",
    "a module that is new": "(copy / 'orchestration/evil.py').write_text('')",
    "what Python runs at its start": "(site / 'evil.pth').write_text('import os')",
}


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the harness, and a folder of packages for it, which an agent may edit."""
    copy, site = tmp_path / "copy", tmp_path / "site"
    source = Path(__file__).parents[2] / "scripts/orchestration"
    shutil.copytree(source, copy / "orchestration", ignore=shutil.ignore_patterns("__pycache__"))
    site.mkdir()
    return copy, site


@pytest.mark.parametrize("level", ["scan", "auto"])
@pytest.mark.parametrize("name", EDITS)
def test_a_change_of_the_installation_stops_the_run(
    place: Make, machine: tuple[Path, Path], name: str, level: str
) -> None:
    copy, site = machine
    code = (
        f"import pathlib\ncopy, site = pathlib.Path({str(copy)!r}), pathlib.Path({str(site)!r})\n"
        f"pathlib.Path('value.txt').write_text('right\\n')\n{EDITS[name]}\n"
    )
    here = place(LEDGER, **FILES)
    opened = "" if level == "scan" else f"agent_write: {json.dumps([str(copy), str(site)])}\n"
    command = json.dumps([sys.executable, "-c", code])
    here.write(
        "orchestration.yaml",
        f"agent: custom\nagent_command: {command}\nisolation: {level}\n{opened}",
    )
    here.git("add", "-A")
    here.git("commit", "-qm", "settings")
    env = {**os.environ, "PYTHONPATH": f"{copy}:{site}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", "--json", "--cycles", "1"],
        cwd=here.root, env=env, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    said = json.loads(done.stdout)
    if name == "nothing":
        assert (done.returncode, said["landed"]) == (0, ["A-001"]), done.stderr
        return
    assert (done.returncode, said["reason"], said["landed"]) == (5, "TAMPER", []), done.stderr
    assert "the harness's own installation changed" in said["text"]
