"""`make agents` where no registry answers: it ends soon, and says what was skipped and why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/tools/agent_programs.py"
PROGRAMS = ("claude", "codex", "opencode", "gemini", "aider")


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_without_a_registry_every_program_is_skipped_with_the_reason(
    listens: bool, tmp_path: Path
) -> None:
    """CI installs what it can; the rest is skipped in words and fails nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen(64)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        env = {
            **os.environ,
            "npm_config_registry": url,
            "npm_config_cache": str(tmp_path / "npm"),
            "PIP_INDEX_URL": f"{url}/simple",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, SCRIPT, "install", "--into", tmp_path / "there", "--patience", "3"],
            capture_output=True,
            text=True,
            timeout=240,
            env=env,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.strip().splitlines()
    told = dict(line.split(": ", 1) for line in lines)
    assert tuple(told) == PROGRAMS
    for name, why in told.items():
        assert why.startswith(("the registry does not answer: ", "npm is not installed")), name
        assert len(why) > 32, "no reason"
    assert last.startswith(f"skipped: {', '.join(PROGRAMS)};")
    assert not list((tmp_path / "there").iterdir())
