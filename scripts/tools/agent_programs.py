"""Real agent programs for the tests marked `agents`: install them here, and write what they did.

    agent_programs.py install        into .agent-programs/, an environment for each (make agents)
    agent_programs.py table          run each against the model on loopback; writes docs/agents.md
    agent_programs.py table --cases "401;500"      these columns alone; the others stay

Nothing of a person's is used: no login, no key, a HOME of its own for each run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".agent-programs"
NPM = {
    "claude": "@anthropic-ai/claude-code",
    "codex": "@openai/codex",
    "opencode": "opencode-ai",
    "gemini": "@google/gemini-cli",
}
PIP = {"aider": "aider-chat"}
PAGE = ROOT / "docs/agents.md"


def install() -> int:
    """Install what is missing; say what could not be, and why."""
    PLACE.mkdir(exist_ok=True)
    left_out = []
    for name, package in {**NPM, **PIP}.items():
        problem = _npm(name, package) if name in NPM else _pip(name, package)
        print(f"{name}: {problem or 'installed'}")
        left_out += [name] if problem else []
    if left_out:
        print(f"skipped: {', '.join(left_out)}; the tests marked `agents` skip them too")
    return 0


def _npm(name: str, package: str) -> str:
    folder = PLACE / name
    if (folder / "node_modules/.bin" / name).exists():
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed (Node.js 20 or later)"
    folder.mkdir(exist_ok=True)
    words = [npm, "install", "--prefix", str(folder), "--no-fund", "--no-audit", package]
    return _run(words)


def _pip(name: str, package: str) -> str:
    folder = PLACE / name
    if (folder / "bin" / name).exists():
        return ""
    problem = _run([sys.executable, "-m", "venv", str(folder)])
    return problem or _run([str(folder / "bin/pip"), "install", "--quiet", package])


def _run(words: list[str]) -> str:
    """Run a command; "" when it went well, else its last line."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit {done.returncode}")


def table(cases: list[str], programs: list[str]) -> int:
    """Run every program with every fault (or `programs` with `cases` alone) and write the page."""
    sys.path.insert(0, str(ROOT / "tests/agents"))
    from real_programs import CASES, PROGRAMS, drive, installed, version

    known, told = _written(list(CASES)) if cases or programs else ({}, {})
    for program in programs or PROGRAMS:
        if installed(program) is None:
            known[program] = dict.fromkeys(CASES, "skipped")
            told[program] = "not installed here | "
            continue
        for name, case in CASES.items():
            if cases and name not in cases:
                continue
            with tempfile.TemporaryDirectory(prefix="agents-") as folder:
                started = time.monotonic()
                run = drive(program, Path(folder), case.fault, idle_s=case.idle_s)
                cell = _cell(run, time.monotonic() - started)
            known.setdefault(program, {})[name] = cell
            print(f"{program} {name}: {cell}", flush=True)
            if case.fault is None:
                ended = run.events("agent_exit")[-1]
                words = f"{ended['tokens']} tokens, {_money(ended['cost'])}"
                told[program] = f"{version(program)} | {words}"
    versions = [f"| {name} | {words} |" for name, words in told.items()]
    rows = [
        f"| {name} | " + " | ".join(cells.get(case, "") for case in CASES) + " |"
        for name, cells in known.items()
    ]
    PAGE.write_text(_page(versions, rows, list(CASES)), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def _written(cases: list[str]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The cells and the versions of the page as it is."""
    known: dict[str, dict[str, str]] = {}
    told: dict[str, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if len(cells) == len(cases) + 1 and cells[0] not in ("program", "---"):
            known[cells[0]] = dict(zip(cases, cells[1:], strict=True))
        elif len(cells) == 3 and cells[0] not in ("program", "---"):
            told[cells[0]] = " | ".join(cells[1:])
    return known, told


def _money(cost: object) -> str:
    return "cost unknown" if cost is None else f"{cost} USD"


def _cell(run, seconds: float) -> str:  # type: ignore[no-untyped-def]
    outages = [str(event["outage"]) for event in run.events("outage")]
    after = f" after {outages[0]}" if outages else ""
    after += f" ×{len(outages)}" if len(outages) > 1 else ""
    ending = "landed" if run.summary.landed else run.summary.reason
    return f"{ending}{after} ({len(run.served.paths)} requests, {seconds:.0f} s)"


def _page(versions: list[str], rows: list[str], cases: list[str]) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [
        "# Agent programs, as they were tried",
        "",
        "Written by `python scripts/tools/agent_programs.py table` (first `make agents`) on "
        f"{day}, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}. "
        "Each program is the real one, behind the fence, with an API key of a model on "
        "127.0.0.1 that follows a script (`tests/agents/model_server.py`). It has to fix a bug "
        "of one line; the gates judge and land it.",
        "",
        "| program | version | a good run reports |",
        "| --- | --- | --- |",
        *versions,
        "",
        "Faults: what became of the run, after which outage (×: how often it was asked). "
        "Waits between askings are not slept here. Every ending but `landed` is RETRY_LATER: no "
        "attempt is spent, nothing is blocked or committed. Times are of a machine "
        f"with a load of up to {os.getloadavg()[1]:.0f} on {os.cpu_count()} processors: "
        "a program that takes longer to its first word than the idle clock allows "
        "(15 to 40 s here) is asked again.",
        "",
        "| program | " + " | ".join(cases) + " |",
        "| --- |" + " --- |" * len(cases),
        *rows,
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["install", "table"])
    parser.add_argument("--cases", default="", help="columns of the table, with ; between")
    parser.add_argument("--programs", default="", help="rows of the table, with ; between")
    given = parser.parse_args()
    if given.what == "install":
        return install()
    cases, programs = (
        [name.strip() for name in text.split(";") if name.strip()]
        for text in (given.cases, given.programs)
    )
    return table(cases, programs)


if __name__ == "__main__":
    sys.exit(main())
