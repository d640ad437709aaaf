"""Real agent programs for the tests marked `agents`: install them here, and write what they did.

    agent_programs.py install        into .agent-programs/, an environment for each (make agents)
    agent_programs.py table          run each against the model on loopback; writes docs/agents.md
    agent_programs.py table --jobs 2     two programs at a time

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
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
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


def install(place: Path, patience_s: int) -> int:
    """Install what is missing; say what could not be, and why.

    A registry is asked first, for `patience_s` seconds: one that does not answer costs no more.
    """
    place.mkdir(parents=True, exist_ok=True)
    left_out = []
    for name, package in {**NPM, **PIP}.items():
        make = _npm if name in NPM else _pip
        problem = make(place / name, name, package, patience_s)
        print(f"{name}: {problem or 'installed'}", flush=True)
        left_out += [name] if problem else []
    if left_out:
        print(f"skipped: {', '.join(left_out)}; the tests marked `agents` skip them too")
    return 0


def _npm(folder: Path, name: str, package: str, patience_s: int) -> str:
    if (folder / "node_modules/.bin" / name).exists():
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed (Node.js 20 or later)"
    limits = ["--fetch-retries=0", f"--fetch-timeout={1000 * patience_s}"]
    problem = _run([npm, "view", package, "version", *limits], 3 * patience_s)
    if problem:
        return f"the registry does not answer: {problem}"
    folder.mkdir(exist_ok=True)
    return _run([npm, "install", "--prefix", str(folder), "--no-fund", "--no-audit", package])


def _pip(folder: Path, name: str, package: str, patience_s: int) -> str:
    if (folder / "bin" / name).exists():
        return ""
    pip = [sys.executable, "-m", "pip", "--retries=0", f"--timeout={patience_s}"]
    problem = _run([*pip, "index", "versions", package], 3 * patience_s)
    if problem:
        return f"the registry does not answer: {problem}"
    problem = _run([sys.executable, "-m", "venv", str(folder)])
    return problem or _run([str(folder / "bin/pip"), "install", "--quiet", package])


def _run(words: list[str], limit_s: float = 900) -> str:
    """Run a command; "" when it went well, else the line that says why not."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {limit_s:g} s"
    except OSError as problem:
        return str(problem)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    wrong = [line for line in said if "ERR" in line and "log of this run" not in line]
    return (wrong or said or [f"exit {done.returncode}"])[-1].strip()


def table(jobs: int) -> int:
    """Run every program with every fault and write the page; all of it comes from one run."""
    with _harness():
        from real_programs import CASES, PROGRAMS
    commit = _commit()
    with ProcessPoolExecutor(jobs) as pool:
        found = dict(zip(PROGRAMS, pool.map(_row, PROGRAMS), strict=True))
    versions = [f"| {name} | {told} |" for name, (told, _) in found.items()]
    rows = [f"| {name} | {' | '.join(cells)} |" for name, (_, cells) in found.items()]
    PAGE.write_text(_page(versions, rows, list(CASES), commit), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def _row(program: str) -> tuple[str, list[str]]:
    """What one program is and reports, and its cells of the table."""
    with _harness():
        from real_programs import CASES, drive, installed, version
    if installed(program) is None:
        return "not installed here | ", ["skipped"] * len(CASES)
    told, cells = "", []
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory(prefix="agents-") as folder:
            started = time.monotonic()
            run = drive(program, Path(folder), case.fault)
            cells.append(_cell(run, time.monotonic() - started))
        print(f"{program} {name}: {cells[-1]}", flush=True)
        if case.fault is None:
            ended = run.events("agent_exit")[-1]
            words = f"{ended['tokens']} tokens, {_money(ended['cost'])}"
            told = f"{version(program)} | {words}"
    return told, cells


@contextmanager
def _harness() -> Iterator[None]:
    """The folder of the tests, whose driver is used here, on the path of imports."""
    sys.path.insert(0, str(ROOT / "tests/agents"))
    try:
        yield
    finally:
        sys.path.pop(0)


def _money(cost: object) -> str:
    return "cost unknown" if cost is None else f"{cost} USD"


def _cell(run, seconds: float) -> str:  # type: ignore[no-untyped-def]
    outages = [str(event["outage"]) for event in run.events("outage")]
    after = f" after {outages[0]}" if outages else ""
    after += f" ×{len(outages)}" if len(outages) > 1 else ""
    ending = "landed" if run.summary.landed else run.summary.reason
    after += ", no time named" if "it named no time" in run.summary.text else ""
    if ending not in ("landed", "RETRY_LATER"):  # why: it may not happen twice
        after += f": {run.events('verdict')[-1]['reason']}" if run.events("verdict") else ""
    return f"{ending}{after} ({len(run.served.paths)} requests, {seconds:.0f} s)"


def _page(versions: list[str], rows: list[str], cases: list[str], commit: str) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [
        "# Agent programs, as they were tried",
        "",
        "Written by `python scripts/tools/agent_programs.py table` (first `make agents`) on "
        f"{day} with the harness of commit {commit}, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}. "
        "Each program is the real one, behind the fence, with an API key of a model on "
        "127.0.0.1 that follows a script (`tests/agents/model_server.py`). It has to fix a bug "
        "of one line; the gates judge and land it.",
        "",
        "| program | version | a good run reports |",
        "| --- | --- | --- |",
        *versions,
        "",
        "Faults: what became of the run, after which outage (×: how often it was asked). "
        "Waits between askings are not slept here. RETRY_LATER: no attempt is spent, nothing is "
        "blocked or committed; an ending that is neither this nor `landed` is a fault of the "
        'harness at that commit. "no time named": the program prints nowhere how long to wait, so '
        "the harness backs off within the turn's clock. "
        "Without that word it was waited for, or the run ends with, the time that the program "
        f"named. Times are of a machine with a load of {os.getloadavg()[2]:.0f} on "
        f"{os.cpu_count()} processors: a program that takes longer to its first word than the idle "
        "clock allows (45 or 90 s here) is asked again.",
        "",
        "| program | " + " | ".join(cases) + " |",
        "| --- |" + " --- |" * len(cases),
        *rows,
        "",
    ]
    return "\n".join(lines)


def _commit() -> str:
    """The last commit that changed the harness."""
    words = ["git", "log", "-1", "--format=%h", "--", "scripts/orchestration"]
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["install", "table"])
    parser.add_argument("--into", type=Path, default=PLACE, help="where programs are installed")
    parser.add_argument(
        "--patience", type=int, default=20, help="seconds for a registry to answer in"
    )
    parser.add_argument("--jobs", type=int, default=1, help="programs at a time")
    given = parser.parse_args()
    if given.what == "install":
        return install(given.into, given.patience)
    return table(given.jobs)


if __name__ == "__main__":
    sys.exit(main())
