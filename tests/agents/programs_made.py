"""Small programs in the place of real ones: a script that speaks as the adapter expects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.agents.base import Clocks, TurnContext
from orchestration.sandbox.process import scrub_env

CLAUDE = """#!{python}
import json, os, pathlib, sys
FLAGS = "--output-format --permission-mode --allowedTools --verbose"
if "--version" in sys.argv:
    print("2.1.9 (Claude Code)"); raise SystemExit
if "--help" in sys.argv:
    print("Usage: claude", {flags}); raise SystemExit
prompt = sys.stdin.read()
home = pathlib.Path(os.environ["HOME"])
def end(text, wrong=False, status=None):
    print(json.dumps({{"type": "result", "subtype": "success", "is_error": wrong,
                      "api_error_status": status, "result": text, "session_id": "s1"}}))
    raise SystemExit(int(wrong))
{code}
"""
LOGIN = ".claude/.credentials.json"


def claude(folder: Path, code: str, *, flags: str = "FLAGS", python: str = sys.executable) -> Path:
    """Write a `claude` into `folder` that runs `code` for a prompt, then ends well."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "claude"
    program.write_text(CLAUDE.format(python=python, code=code, flags=flags) + "end('ready')\n")
    program.chmod(0o755)
    return program


def turn_in(
    tmp_path: Path, home: Path, *, path: Sequence[Path] = (), level: str = "scan", brief: str = "go"
) -> TurnContext:
    """A turn with the person's HOME at `home` and the folders of `path` in front of PATH."""
    workspace = tmp_path / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    env = scrub_env({"HOME": str(home)})
    env["PATH"] = ":".join([*map(str, path), "/usr/bin", "/bin"])
    return TurnContext(
        workspace,
        None,
        None,
        brief,
        env,
        Clocks(30, 20, 0.3),
        tmp_path / "turns/1/logs",
        tmp_path / "turns/1/report",
        isolation=level,
    )
