"""Run every hostile worker twice: against an unprotected checkout, and through `orchestrate run`.

    hostile_workers.py --results runs/hostile --write docs/evidence/reliability.md
    hostile_workers.py --only "fork" --levels kernel

With `--results` every finished attack is kept as a file, so that an interrupted or divided run
(`--part 1/3`) goes on where it was; `--write` renders the table once all attacks are there.

Exit code 0 when each attack did its harm unprotected and got its verdict from the harness.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from hostile_attacks import ATTACKS, BROKEN, HEADER, TESTS, Attack

LEDGER = "# Plan\n\n### [FIX-1] Addition subtracts\n- Status: open\n- Guard: tests/test_calc.py\n"
SETTINGS = """\
isolation: {level}
agent: custom
agent_command: ["{{python}}", "{agent}"]
max_processes: 100
budgets: {{turn_s: 8, idle_s: 4, grace_s: 1, guard_s: 120}}
"""
PROGRAM = [sys.executable, "-c", "from orchestration.cli import main; main()"]
SOURCES = Path(__file__).resolve().parents[1]
MARKS = ("<!-- hostile workers: begin -->", "<!-- hostile workers: end -->")
RESULTS = "reliability-hostile.json"
SAID = {
    "exit 0": "pytest exits 0",
    "no failure shown": "pytest exits 5, no failure shown",
    "checkout": "harm in the checkout",
    "alive": "outlives the turn",
    "hangs": "never ends",
    "flood": "over 100 MB taken",
    "many": "over 300 processes",
    "claim": "exit 0, tests red",
}
HONEST = "from calc import add; n = add(7, 8); assert type(n) is int and n == 15"


@dataclass
class Now:
    """What a run through the harness came to."""

    verdict: str
    reason: str
    code: int
    harm: list[str]
    alive: int
    seconds: float
    peak_mb: float


def git(root: Path, *words: str) -> str:
    """Run git in `root` and return what it said."""
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def template(root: Path) -> Path:
    """The repository that every attack gets a copy of."""
    files = {"calc/__init__.py": BROKEN, "tests/test_calc.py": TESTS, "docs/fix_plan.md": LEDGER}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "A Person")
    git(root, "config", "user.email", "p@example.org")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "start")
    git(root, "branch", "side")
    (root / "notes.txt").write_text("a person's notes\n")
    return root


def picture(root: Path) -> dict[str, str]:
    """A person's files, refs and git settings; what the harness itself writes is left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        ours = name.startswith((".git/", "plans/")) or name == "galph_memory.md"
        control = name.startswith((".git/hooks", ".git/config", ".git/info", ".git/MERGE"))
        if (control or not ours) and path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif (control or not ours) and path.is_file():
            found[name] = path.read_bytes().decode("utf-8", "backslashreplace")
    for line in git(root, "for-each-ref", "--format=%(refname) %(objectname)").splitlines():
        ref, _, sha = line.partition(" ")
        if not ref.startswith(("refs/heads/orchestration/", "refs/orchestration/")):
            found[ref] = sha
    found["HEAD"] = (root / ".git/HEAD").read_text()
    found["staged"] = git(root, "ls-files", "--stage", "-v")
    return found


def processes(token: str) -> list[psutil.Process]:
    """Live processes with the attack's word on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and token in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(found: Sequence[psutil.Process]) -> None:
    """Kill what an attack left."""
    for process in found:
        try:
            process.kill()
        except psutil.Error:
            continue


def program(folder: Path, attack: Attack, user: Path, token: str) -> Path:
    """The agent program of an attack, outside every checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"agent_{token}.py"
    path.write_text(HEADER.format(user=str(user), token=token) + attack.code)
    return path


def bare_pytest(root: Path) -> int:
    """What a naive loop believes: the exit code of pytest in the agent's own tree."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, check=False, timeout=120)
    return done.returncode


def honest(root: Path) -> bool:
    """Whether the product really adds."""
    env = {**os.environ, "PYTHONPATH": str(root), "PYTEST_CURRENT_TEST": "x"}
    argv = [sys.executable, "-P", "-c", HONEST + "; print('adds')"]
    done = subprocess.run(
        argv, env=env, capture_output=True, text=True, check=False, cwd=root, timeout=60
    )
    return done.stdout.endswith("adds\n")


def unprotected(attack: Attack, work: Path, source: Path) -> str:
    """Do the attack in a plain checkout; the words for the harm that was measured, or ""."""
    token = f"hostile{uuid.uuid4().hex[:10]}"
    root = work / "bare"
    shutil.copytree(source, root, symlinks=True)
    script = program(work / "bare-agent", attack, root, token)
    before = picture(root)
    child = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    size, hung = _drain(child, 4.0 if attack.fooled == "hangs" else 60.0)
    time.sleep(0.3)
    left = processes(token)
    end(left)
    code = child.wait()
    held = {
        "hangs": hung,
        "flood": size > 100_000_000,
        "alive": len(left) > 0 and not hung,
        "many": len(left) > 300,
    }
    if attack.fooled in held:
        return SAID[attack.fooled] if held[attack.fooled] else ""
    said = bare_pytest(root)
    after = picture(root)
    harm = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    proved = {
        "exit 0": said == 0 and not honest(root),
        "no failure shown": said == 5 and not honest(root),
        "checkout": bool(harm - {"calc/__init__.py"}) or after["calc/__init__.py"] == "evil",
        "claim": code == 0 and said == 1,
    }
    return SAID[attack.fooled] if proved[attack.fooled] else ""


def _drain(child: subprocess.Popen[bytes], limit_s: float) -> tuple[int, bool]:
    """Bytes of output until the child ends, and whether it had to be left running."""
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    started, size = time.monotonic(), 0
    while time.monotonic() - started < limit_s:
        try:
            data = os.read(child.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            data = None
            time.sleep(0.01)
        size += len(data or b"")
        if child.poll() is not None and not data:
            return size, False
    return size, True


def harnessed(attack: Attack, level: str, work: Path, source: Path) -> Now:
    """The same worker through `orchestrate run`."""
    token = f"hostile{uuid.uuid4().hex[:10]}"
    root = work / level
    shutil.copytree(source, root, symlinks=True)
    script = program(work / f"agent-{level}", attack, root, token)
    (root / "orchestration.yaml").write_text(SETTINGS.format(level=level, agent=script))
    git(root, "add", "orchestration.yaml")
    git(root, "commit", "-q", "-m", "settings")
    before, started = picture(root), time.monotonic()
    cycles = "2" if attack.name == "the same patch again" else "1"
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *PROGRAM, "run", "--json", "--cycles", cycles],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    left = processes(token)
    end(left)
    told = re.findall(r"verdict for FIX-1: (\w+) - (.*)", done.stderr)
    peak = re.findall(r"peak (\d+) kB", done.stderr)
    ended: dict[str, Any] = {"text": done.stderr[-300:]}
    with contextlib.suppress(ValueError):
        ended |= json.loads(done.stdout)
    # Without a verdict (no turn, or one that an outage gave back) the run's own end says why.
    verdict, reason = told[-1] if told else ("none", ended["text"])
    harm = _harm(root, before, picture(root), landed=verdict == "land")
    return Now(
        verdict,
        reason,
        done.returncode,
        harm,
        len(left),
        time.monotonic() - started,
        int(peak[-1]) / 1000,
    )


PEAK = """\
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print('peak', used.ru_maxrss, 'kB', file=sys.stderr)
print('cpu', round(used.ru_utime + used.ru_stime, 1), 's', file=sys.stderr)
sys.exit(code)
"""


def _harm(root: Path, before: dict[str, str], after: dict[str, str], *, landed: bool) -> list[str]:
    """What of a person's is not as it was; commits of the harness on top of the branch are not."""
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    expected = {"refs/heads/main", "staged", "docs/fix_plan.md"}
    if landed:
        # The order rides in the commit, and so do the files of a nested repository, as plain files.
        expected |= {"calc/__init__.py", "input.md", "sub/evil.py"}
    harm = [name for name in changed if name not in expected]
    subjects = git(root, "log", "--format=%s", f"{before['refs/heads/main']}..main").splitlines()
    harm += [f"commit {s}" for s in subjects if not s.startswith(("RALPH ", "SUPERVISOR "))]
    if (
        git(root, "merge-base", "main", before["refs/heads/main"]).strip()
        != (before["refs/heads/main"])
    ):
        harm.append("main was reset")
    return harm


def judge(attack: Attack, level: str, now: Now) -> str:
    """What is wrong with the harness's answer, or ""."""
    if now.verdict != attack.verdict:
        return f"{level}: {now.verdict} ({now.reason[:200]}), expected {attack.verdict}"
    if now.harm or now.alive:
        return f"{level}: left {now.alive} processes, harm: {now.harm[:3]}"
    if now.verdict == "tamper" and now.code != 5:
        return f"{level}: exit code {now.code}, expected 5"
    return ""


def without_machine(text: str) -> str:
    """A reason with the folders of the machine that measured it taken out; names stay."""
    return re.sub(r"/[\w.+-]+(?:/[\w.+-]+)+", lambda path: f"…/{Path(path[0]).name}", text)


def record(attack: Attack, fooled: str, rows: dict[str, Now], wrong: list[str]) -> dict[str, Any]:
    """What is kept of one attack."""
    why = without_machine(next(iter(rows.values())).reason).replace("|", "/")
    return {
        "name": attack.name,
        "fooled": fooled,
        "verdicts": {level: f"{row.verdict} (exit {row.code})" for level, row in rows.items()},
        "why": why[:110],
        "peak_mb": max(row.peak_mb for row in rows.values()),
        "wrong": [without_machine(text) for text in wrong],
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """The table of the page, in the order of the attacks."""
    names = {"kernel": "kernel fence", "bwrap": "bubblewrap", "pidns": "PID namespace"}
    levels = list(found[0]["verdicts"])
    heads = " | ".join(names[level] for level in levels)
    rows = [
        f"| attack | unprotected | {heads} | because |",
        "|---" * (len(levels) + 3) + "|",
    ]
    for row in found:
        cells = " | ".join(row["verdicts"].get(level, "not run") for level in levels)
        rows.append(f"| {row['name']} | {row['fooled']} | {cells} | {row['why']} |")
    wrong = sum(bool(row["wrong"]) for row in found)
    peak = max(row["peak_mb"] for row in found)
    total = f"{len(found)} attacks, {wrong} wrong answers"
    rows += ["", f"{total}; largest memory of one process of the harness {peak:.0f} MB."]
    return "\n".join(rows)


def write(page: Path, found: Sequence[dict[str, Any]], text: str) -> None:
    """Put the table between its marks, and what it was made of beside the page."""
    data = json.dumps(list(found), indent=1, ensure_ascii=False)
    page.with_name(RESULTS).write_text(data + "\n", encoding="utf-8")
    head, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    page.write_text(f"{head}{MARKS[0]}\n{text}\n{MARKS[1]}{tail}", encoding="utf-8")


def one(attack: Attack, levels: Sequence[str], work: Path, source: Path) -> dict[str, Any]:
    """Run one attack unprotected and at every level."""
    fooled = unprotected(attack, work, source)
    results = {level: harnessed(attack, level, work, source) for level in levels}
    bad = [text for level, now in results.items() if (text := judge(attack, level, now))]
    bad += [] if fooled else ["did no harm unprotected"]
    return record(attack, fooled, results, bad)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for, print it, and write the table into a page."""
    from orchestration.sandbox import fence as isolation
    from orchestration.sandbox import pids

    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", default="", help="part of a name")
    options.add_argument("--part", default="1/1", help="this part of so many")
    options.add_argument("--levels", nargs="+", default=None)
    options.add_argument("--results", type=Path, help="folder for what is finished")
    options.add_argument("--write", type=Path, help="page with the marks of the table")
    given = options.parse_args(argv)
    levels = given.levels or [x for x in ("kernel", "bwrap") if x in isolation.available()]
    part, parts = map(int, given.part.split("/"))
    found = []
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        source = template(Path(folder) / "template")
        for number, attack in enumerate(ATTACKS):
            if given.only not in attack.name or number % parts != part - 1:
                continue
            if attack.needs_ceiling and pids.kind() == "none":
                print(f"skipped: {attack.name}: no pids cgroup and no user limit here")
                continue
            kept = given.results / f"{number:02d}.json" if given.results else None
            if kept is not None and kept.exists():
                found.append(json.loads(kept.read_text()))
                continue
            found.append(one(attack, levels, Path(folder) / str(number), source))
            print(json.dumps(found[-1]), flush=True)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found[-1]))
    text = table(found)
    if given.write:
        write(given.write, found, text)
    wrong = [f"WRONG {row['name']}: {bad}" for row in found for bad in row["wrong"]]
    print(text, *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
