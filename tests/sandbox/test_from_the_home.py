"""Which levels work does not hang on where the command was started: a checkout lies in the home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PRINT = "from orchestration.sandbox import fence; print(fence.available())"


def test_a_level_works_from_a_folder_of_the_home_too(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "checkout"
    folder.mkdir(parents=True)
    env = {**os.environ, "HOME": str(tmp_path / "home")}
    said = [
        subprocess.check_output([sys.executable, "-c", PRINT], cwd=place, env=env, text=True)
        for place in (Path("/"), folder)
    ]
    assert said[0] == said[1]
