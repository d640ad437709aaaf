"""What the fixture maker and the replaying tests share: the program, git, and canonical forms.

Only names that stay where they are under the redrawing are imported: `orchestration.cli.main` and
`orchestration.core`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from orchestration.core.events import Event, canonical_json, verify_chain
from orchestration.core.reduce import replay
from orchestration.core.state import State

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "pins" / "harness"
NAME = "small"
"""The folder of the pinned repository; the views show it."""
QUIET_ENV = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}
"""A terminal of 80 columns without colour, whatever the machine's is."""
LOUD_ENV = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "LINES")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


def _environment() -> Any:
    kept = {name: value for name, value in os.environ.items() if name not in LOUD_ENV}
    return mock.patch.dict(os.environ, {**kept, **QUIET_ENV}, clear=True)


def orchestrate(*words: str, cwd: Path) -> Said:
    """Run the console command in this process: the same door, without a start of Python each."""
    with mock.patch.object(sys, "argv", ["orchestrate"]):
        import orchestration.cli.app  # with no command named, so that every command is loaded
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        _environment(),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["orchestrate", *words]),
        # Else the usage line would name `python -m pytest`, which is what runs here.
        mock.patch.object(sys.modules["__main__"], "__package__", None, create=True),
    ):
        try:
            orchestration.cli.main()
        except SystemExit as stop:
            code = stop.code or 0
    return Said(code if isinstance(code, int) else 1, out.getvalue(), err.getvalue())


def script(name: str, *words: str, cwd: Path) -> Said:
    """Run `python scripts/NAME` as a person does."""
    with _environment():
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / name), *words],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return Said(done.returncode, done.stdout, done.stderr)


def git(root: Path, *args: str) -> str:
    """Run git and return its output."""
    done = subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def clone(folder: Path) -> Path:
    """The pinned repository with all its branches, from the bundle, main checked out."""
    root = folder / NAME
    root.mkdir()
    git(root, "init", "-q", "-b", "unborn")
    git(root, "fetch", "-q", str(FIXTURES / "small.bundle"), "refs/heads/*:refs/heads/*")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "user.name", "A")
    git(root, "checkout", "-q", "main")
    return root


def pinned(name: str) -> str:
    """The text of a fixture, unpacked where it is packed."""
    packed = FIXTURES / f"{name}.gz"
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode()
    return (FIXTURES / name).read_text(encoding="utf-8")


def pretty(value: object) -> str:
    """JSON that a diff can be read of."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def events_of(text: str) -> list[Event]:
    """The verified events of an exported log."""
    return verify_chain((f"log:{n}", line) for n, line in enumerate(text.splitlines(), start=1))


def state_json(state: State) -> Any:
    """The state as plain JSON."""
    return json.loads(canonical_json(_then(state)))


def _then(state: State) -> dict[str, Any]:
    """The state with the fields that f264b61 had; what came later says nothing of them."""
    fields = dataclasses.asdict(state)
    assert fields.pop("held") == {}
    assert fields.pop("upstream") == ""
    assert {item.pop("outages") for item in fields["items"].values()} <= {0}
    return fields


def prefix_digests(events: Iterable[Event]) -> Iterator[str]:
    """16 hex digits of the state after each event: where two reducers part is then known."""
    state = State()
    for event in events:
        replay([event], state)
        text = canonical_json(_then(state))
        yield f"{event.seq} {event.kind} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def without_moment(value: Any) -> Any:
    """A view without when and where it was made; everything else has to be the same.

    What came later: `work`, where a turn's work is to be found; `now`, `died_at`, `stops`,
    `unpushed` and `fence`, whether a run lives and what would stop it.
    """
    if isinstance(value, list):
        return [without_moment(one) for one in value]
    if not isinstance(value, dict):
        return value
    gone = ("generated_at", "report", "work", "now", "died_at", "stops", "unpushed", "fence")
    return {k: without_moment(v) for k, v in value.items() if k not in gone}


def page_digest(html: str, generated_at: str) -> str:
    """SHA-256 of the report's page without the moment at which it was made."""
    day, _, clock = generated_at.rstrip("Z").partition("T")
    for moment in (generated_at, f"{day} {clock}", f"{day} {clock[:5]}"):
        html = html.replace(moment, "MOMENT")
    return hashlib.sha256(html.encode()).hexdigest()


def neutral(text: str, root: Path) -> str:
    """A message with the machine's folders taken out."""
    for folder, word in ((root, "REPO"), (root.parent, "TMP"), (ROOT, "SOURCE")):
        text = text.replace(str(folder.resolve()), word).replace(str(folder), word)
    return re.sub(r"[ \t]+\n", "\n", text)


def command_paths() -> list[list[str]]:
    """Every command and sub-command of the program, the program itself first."""
    with mock.patch.object(sys, "argv", ["orchestrate"]):
        from orchestration.cli.app import app
    import typer.main

    found: list[list[str]] = []

    def walk(command: Any, path: list[str]) -> None:
        found.append(path)
        for name, child in getattr(command, "commands", {}).items():
            walk(child, [*path, name])

    walk(typer.main.get_command(app), [])
    return found


def help_texts(cwd: Path) -> dict[str, dict[str, Any]]:
    """`--help` of every command and of the scripts, with the exit code."""
    texts = {}
    for path in command_paths():
        said = orchestrate(*path, "--help", cwd=cwd)
        texts[" ".join(["orchestrate", *path])] = said
    for name in ("loop.py", "supervisor.py", "tools/validate_input_md.py"):
        texts[f"scripts/{name}"] = script(name, "--help", cwd=cwd)
    return {name: {"code": s.code, "out": neutral(s.out, cwd)} for name, s in texts.items()}


VALID = (
    "# Order\nFocus: A-001\nMode: none\nSelector: none\n\n## Goal\nAdvances C1.\n\n"
    "## Tasks\n- [ ] T1 do it\n\n## Checks\n```sh\ntest -f plan.md\n```\n\n"
    "## If blocked\n- say so\n\n## Findings\n- none\n"
)
PLAN = (
    "# Plan\n\n### [A-001] One thing\n- Status: open\n- Exit:\n  - [ ] C1 `test -f a.txt` — there\n"
)
READING: tuple[tuple[str, ...], ...] = (
    (), ("--version",), ("nonsense",), ("status",), ("status", "--cyles"), ("why",), ("show",),
    ("show", "2"), ("show", "7777"), ("tail", "-n", "2"), ("tail", "-n", "-1"), ("verify",),
    ("verify", "nosuchbranch"), ("validate",), ("validate", "docs/fix_plan.md"),
    ("validate", "input.md"), ("validate", "missing.md"), ("validate", "broken.md"),
    ("explain",), ("explain", "E999"), ("stats",), ("stats", "--from", "galph_memory.md"),
    ("stats", "--from", "missing.md"), ("report", "-o", "page.html"), ("ledger",),
    ("ledger", "list"), ("ledger", "show", "WORK-001"), ("ledger", "show", "NONE-001"),
    ("ledger", "add"), ("findings",), ("findings", "search", "x"), ("findings", "check"),
    ("findings", "add"), ("history",), ("history", "import", "missing.md"), ("log",),
    ("log", "export"), ("log", "import"), ("log", "import", "missing.jsonl"), ("log", "recover"),
    ("run", "--agent", "nobody"), ("run", "--wait", "soon"), ("run", "--cycles", "0"),
    ("run", "--dry-run"), ("worker", "--role", "galph"), ("supervisor", "--role", "ralph"),
    ("steer",), ("steer", " "), ("approve",), ("approve", "NONE-001", "a"), ("reopen", "WORK-001"),
    ("reopen", "NONE-001", "--reason", "x"), ("revert",), ("revert", "7777"),
    ("pause", "a", "b"), ("resume", "a"),
)  # fmt: skip
"""Commands whose exit code and words are pinned; none of them starts an agent."""


def exit_codes(root: Path) -> dict[str, dict[str, Any]]:
    """Exit code of each of READING in a clone with the log imported, and its first error line."""
    (root / "broken.md").write_text("an order without a focus\n")
    rows = {}
    for words in READING:
        said = orchestrate(*words, cwd=root)
        first = neutral(said.err, root).strip().splitlines()[:1]
        rows[" ".join(["orchestrate", *words])] = {
            "code": said.code,
            "error": first[0] if first and said.code else "",
        }
    return rows


def outside_codes(folder: Path) -> dict[str, int]:
    """Exit code of every leaf command without arguments in a folder that is no repository."""
    rows = {}
    for path in command_paths():
        if path and path not in (["init"], ["log"], ["ledger"], ["findings"], ["history"]):
            rows[" ".join(["orchestrate", *path])] = orchestrate(*path, cwd=folder).code
    return rows


def validations(root: Path) -> dict[str, dict[str, Any]]:
    """`scripts/tools/validate_input_md.py` with good, bad and absent orders, in an own folder."""
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "fix_plan.md").write_text(PLAN, encoding="utf-8")
    git(root, "init", "-q", "-b", "main")
    (root / "valid.md").write_text(VALID)
    (root / "invalid.md").write_text(VALID.replace("Focus: A-001\n", ""))
    (root / "unknown.md").write_text(VALID.replace("A-001", "Z-999"))
    rows = {}
    for words in (
        ("valid.md",),
        ("invalid.md", "--no-collect"),
        ("unknown.md", "--no-collect"),
        ("missing.md",),
        ("valid.md", "invalid.md"),
    ):
        said = script("tools/validate_input_md.py", *words, cwd=root)
        rows[" ".join(words)] = {
            "code": said.code,
            "out": neutral(said.out, root),
            "err": neutral(said.err, root),
        }
    return rows
