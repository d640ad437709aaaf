"""One cycle of an agent program in a small repository, through the whole engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from orchestration.engine.loop import Engine, Summary
from orchestration.setup.session import open_harness

BROKEN = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
LEDGER = """# Plan

### [FIX-1] Addition subtracts
- Status: open
- Guard: {guard}
- Recipe:
  - run: true
    may edit tests: {opened}
"""
WRITE = "import os, pathlib\ndef write(name, text):\n    pathlib.Path(name).write_text(text)\n"


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def lay_down(
    tmp_path: Path,
    code: str,
    ledger: str,
    *,
    level: str = "scan",
    files: dict[str, str] | None = None,
    settings: str = "",
) -> Path:
    """A committed repository whose agent runs `code`; `settings` are further lines of the YAML."""
    root = tmp_path / "repo"
    agent = tmp_path / "agent.py"
    tmp_path.mkdir(exist_ok=True)
    agent.write_text(WRITE + code)
    base = {"calc/__init__.py": BROKEN, "tests/test_calc.py": TEST, "docs/fix_plan.md": ledger}
    base["orchestration.yaml"] = (
        f'agent: custom\nisolation: {level}\nagent_command: ["{{python}}", "{agent}"]\n{settings}'
    )
    for name, text in (base | (files or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for words in (
        ("init", "-q", "-b", "main"),
        ("config", "user.name", "P"),
        ("config", "user.email", "p@example.org"),
        ("add", "."),
        ("commit", "-qm", "start"),
    ):
        git(root, *words)
    return root


def work(
    tmp_path: Path,
    code: str,
    *,
    guard: str = "tests/test_calc.py",
    opened: str = "",
    files: dict[str, str] | None = None,
    settings: str = "",
    level: str = "scan",
) -> tuple[Path, Summary, dict[str, object]]:
    """One cycle of an agent that runs `code`; the repository, the summary and the verdict."""
    ledger = LEDGER.format(guard=guard, opened=opened)
    if not opened:
        ledger = ledger[: ledger.index("- Recipe")]
    root = lay_down(tmp_path, code, ledger, level=level, files=files, settings=settings)
    harness = open_harness(root, cycles=1)
    summary = Engine(harness, lambda: "run1").run()
    verdict = next(e.data for e in reversed(harness.log.events) if e.kind == "verdict")
    return root, summary, verdict


FIX = f"write('calc/__init__.py', {FIXED!r})\n"
