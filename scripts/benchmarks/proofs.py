"""Run the long proofs and write what they found into docs/evidence/proofs.md (`make proofs`).

    proofs.py                       all of them: hours
    proofs.py --only kills,fuzz     these
    proofs.py --list                their names and commands

Each runs in a process of its own; its output and its row are kept in `--results` (runs/proofs), so
that an interrupted run goes on where it was as long as the commit is the same. Exit 1 when a proof
fails, 0 when all that were asked for hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/evidence/proofs.md"
MARKS = ("<!-- proofs: begin -->", "<!-- proofs: end -->")


@dataclass(frozen=True)
class Proof:
    """A command line, and how the end of its output is said in one cell."""

    name: str
    argv: tuple[str, ...]
    says: Callable[[str], str]


def picked(*names: str) -> Callable[[str], str]:
    """Say these keys of the JSON object that the output ends with."""

    def says(text: str) -> str:
        found = last_object(text)
        values = {name: found[name] for name in names}
        return ", ".join(
            f"{name.replace('_', ' ')} {len(value) if isinstance(value, list) else value}"
            for name, value in values.items()
        )

    return says


def last_object(text: str) -> dict[str, Any]:
    """The JSON object at the end of a program's output, on one line or on many."""
    lines = text.strip().splitlines()
    for start in range(len(lines) - 1, -1, -1):
        if lines[start].startswith("{"):
            found = json.loads("\n".join(lines[start:]))
            assert isinstance(found, dict)
            return found
    raise ValueError("the output ends with no JSON object")


def last_line(text: str) -> str:
    """The last line that says something, such as pytest's count."""
    return next((line.strip("= ") for line in reversed(text.splitlines()) if line.strip()), "")


def rows_of_table(text: str) -> str:
    """How many attacks the printed table holds, and how many verdicts were wrong."""
    lines = text.splitlines()
    attacks = sum(line.startswith("| ") for line in lines) - 1
    return f"attacks {attacks}, wrong {sum(line.startswith('WRONG') for line in lines)}"


def script(name: str, *words: str) -> tuple[str, ...]:
    return ("python", f"scripts/benchmarks/{name}.py", *words)


def pytest(*words: str) -> tuple[str, ...]:
    return ("python", "-m", "pytest", "-q", "-n", "2", "-m", "proof", *words)


DIRT = "tests/engine/test_user_dirt.py"
KILLS = picked("trials", "killed", "after_run_end", "different")
PROOFS = (
    Proof("kills", script("kill_proof", "--boundaries", "--random", "200", "--seed", "7"), KILLS),
    Proof(
        "kills-supervisor",
        script("kill_proof", "--supervisor", "--boundaries", "--random", "4", "--seed", "5"),
        KILLS,
    ),
    Proof(
        "attacks",
        script("hostile_workers", "--results", "runs/proofs/hostile-{commit}", "--write",
               "docs/evidence/reliability.md"),
        rows_of_table,
    ),
    Proof(
        "attack-table",
        script("attack_table", "--results", "runs/proofs/attacks-{commit}", "--write",
               "docs/evidence/attacks.md"),
        last_line,
    ),
    Proof("honest", script("honest_changes", "--write", "docs/evidence/reliability-gates.md"),
          last_line),
    Proof("user-dirt", pytest(DIRT), last_line),
    Proof("cycles", script("long_run", "--cycles", "500"),
          picked("cycles", "landed", "rejected", "broken")),
    Proof("fuzz", script("fuzz_documents", "--examples", "100000", "--seed", "921"),
          picked("inputs", "failures")),
    Proof("agent-lines", script("fuzz_agents", "--lines", "100000", "--seed", "7"),
          picked("readers", "lines", "failures")),
    # In two runs: what XLA compiles stays in memory while a process lives.
    Proof("tests-refinement", pytest("tests/refinement", "tests/pins"), last_line),
    Proof("tests", pytest("--ignore=tests/refinement", "--ignore=tests/pins", "--ignore", DIRT),
          last_line),
    Proof("quality", script("quality", "--output", "runs/quality"), last_line),
)  # fmt: skip


def commit() -> str:
    """What the figures belong to: the commit, with `+` where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    ours = ["ptycho", "scripts", "tests", "pyproject.toml"]
    return git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", *ours))


def run(proof: Proof, folder: Path, at: str) -> dict[str, Any]:
    """Run one proof, or take its row where it was finished at this commit; returns the row."""
    kept, log = folder / f"{proof.name}.json", folder / f"{proof.name}.log"
    if kept.is_file():
        row: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if row["commit"] == at and row["argv"] == list(proof.argv) and row["exit"] == 0:
            return row
    began = time.monotonic()
    words = [word.replace("{commit}", at) for word in proof.argv]
    argv = [sys.executable if word == "python" else word for word in words]
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False, env={**os.environ}
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    try:
        said, code = proof.says(text), done.returncode
    except (ValueError, KeyError) as error:  # a proof that says nothing proves nothing
        said, code = f"no result: {error}", done.returncode or 1
    row = {
        "name": proof.name,
        "argv": list(proof.argv),
        "said": said,
        "exit": code,
        "seconds": round(time.monotonic() - began),
        "commit": at,
        "day": datetime.now(UTC).date().isoformat(),
    }
    kept.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return row


def line(row: dict[str, Any]) -> str:
    """The row of the Markdown table."""
    cells = (
        row["name"],
        f"`{shlex.join(row['argv'])}`".replace("|", r"\|"),
        row["said"].replace("|", r"\|"),
        row["exit"],
        row["seconds"],
        row["day"],
        row["commit"],
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def table(lines: Sequence[str]) -> str:
    """The Markdown table of the rows."""
    head = [
        "| proof | command | found | exit | seconds | day | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    machine = f"{os.cpu_count()} processor cores, Python {platform.python_version()}."
    return "\n".join([*head, *lines]) + f"\n\n{machine}"


def merged(proofs: Sequence[Proof], page: Path, row: dict[str, Any]) -> list[str]:
    """The page's rows with this one in its place: what another clone measured stays."""
    said = page.read_text(encoding="utf-8").partition(MARKS[0])[2].partition(MARKS[1])[0]
    known = {
        text.split(" | ")[0].strip("| "): text for text in said.splitlines() if text[:2] == "| "
    }
    known[row["name"]] = line(row)
    return [known[proof.name] for proof in proofs if proof.name in known]


def write(page: Path, text: str) -> None:
    """Put the table between the marks of the page."""
    old = page.read_text(encoding="utf-8")
    head, begin, rest = old.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not (begin and end):
        raise SystemExit(f"{page}: no place for the table; expected: {MARKS[0]} … {MARKS[1]}")
    page.write_text(f"{head}{MARKS[0]}\n{text}\n{MARKS[1]}{tail}", encoding="utf-8")


def main(argv: Sequence[str] | None = None, proofs: Sequence[Proof] = PROOFS) -> int:
    """Run what is asked for; see the top of this file."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--only", default="", help="comma-separated names")
    options.add_argument("--list", action="store_true", help="run nothing")
    options.add_argument("--results", type=Path, default=ROOT / "runs/proofs")
    options.add_argument("--write", type=Path, default=PAGE, help="the page with the table")
    given = options.parse_args(argv)
    names = [name for name in given.only.split(",") if name]
    unknown = sorted(set(names) - {proof.name for proof in proofs})
    if unknown:
        known = ", ".join(proof.name for proof in proofs)
        options.error(f"no such proof: {', '.join(unknown)}; expected: {known}")
    chosen = [proof for proof in proofs if not names or proof.name in names]
    if given.list:
        print(*(f"{proof.name:18} {shlex.join(proof.argv)}" for proof in chosen), sep="\n")
        return 0
    given.results.mkdir(parents=True, exist_ok=True)
    at, failed = commit(), []
    for proof in chosen:
        print(f"{proof.name}: {shlex.join(proof.argv)}", file=sys.stderr, flush=True)
        row = run(proof, given.results, at)
        print(
            f"  exit {row['exit']}, {row['seconds']} s: {row['said']}", file=sys.stderr, flush=True
        )
        if row["exit"]:
            failed.append(proof.name)
        write(given.write, table(merged(proofs, given.write, row)))
    for name in failed:
        print(f"FAILED {name}: {given.results / name}.log", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
