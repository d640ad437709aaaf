"""Make the fixtures of tests/pins/harness with the harness as it is at commit f264b61.

Run it at that commit, before anything is redrawn (it needs about five minutes):

    git switch --detach f264b61          # these files laid over it
    .venv/bin/python tests/pins/harness/make_fixtures.py [--keep DIR]

It makes a small repository in a temporary folder, runs the real program in it (`orchestrate run`
with the playbook, with a scripted worker and with a scripted supervisor; a person's messages in
between) and stores its log, state, views, receipts, and the repository itself as a git bundle.
Run again, it gives another log (times, run identifiers and commit hashes differ) of the same
story; so the fixtures are made once, by the program that they pin, and then only replayed.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import harness_pins as pins

MAIN = "from orchestration.cli import main; main()"
CUSTOM = ("--agent", "custom")
CONFIG = """agent: playbook
agent_command: ["{python}", "agents/worker.py", "{item}"]
supervisor_command: ["{python}", "agents/boss.py"]
protected: [protected.txt]
budgets:
  attempts_per_item: 3
  turn_s: 20s
  idle_s: 6s
"""
FIXES = {
    "pkg/__init__.py": "",
    "pkg/twice.py": "def twice(x):\n    return x * 3\n",
    "pkg/half.py": "def half(x):\n    return x / 3\n",
    "tests/test_twice.py": "from pkg.twice import twice\n\n\n"
    "def test_twice():\n    assert twice(4) == 8\n",
    "tests/test_half.py": "from pkg.half import half\n\n\n"
    "def test_half():\n    assert half(4) == 2\n",
    "fix.patch": "--- a/pkg/half.py\n+++ b/pkg/half.py\n@@ -1,2 +1,2 @@\n"
    " def half(x):\n-    return x / 3\n+    return x / 2\n",
    "value.txt": "wrong\n",
    "wanted.txt": "right\n",
    "protected.txt": "hands off\n",
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
    "docs/wishes.txt": "WORK-004 it is quicker\n",
}
BROKEN = ("HARD", "SAME", "IDLE", "STUCK", "CRASH", "SLOW", "EDITS")


def item(name: str, title: str, *lines: str, rows: int = 1, status: str = "open") -> str:
    """One focus issue; its rows ask for files that the scripted worker makes."""
    head = [f"### [{name}] {title}", f"- Status: {status}", *lines]
    if rows:
        head.append("- Exit:")
    head += [
        f"  - [ ] C{n} `test -f work/{name}/C{n}.txt` — file {n} is there"
        for n in range(1, rows + 1)
    ]
    return "\n".join(head) + "\n"


def ledger() -> str:
    """The plan: work, guarded fixes, waits, what is finished, and what can never be met."""
    play = item("PLAY-001", "By recipe", "- Priority: P0", rows=0) + (
        "- Exit:\n  - [ ] C1 `cmp value.txt wanted.txt` — right\n"
        "  - [ ] C2 `test -f more.txt` — more\n"
        "- Recipe:\n  - run: cp wanted.txt value.txt\n    row: C1\n"
        "  - run: cp wanted.txt more.txt\n    row: C2\n"
    )
    half = item(
        "PLAY-002",
        "Half is a third",
        "- Priority: P0",
        "- Type: bugfix",
        "- Guard: tests/test_half.py::test_half",
        rows=0,
    ) + (
        "- Exit:\n  - [ ] C1 `pytest tests/test_half.py::test_half` — the half is right\n"
        "- Recipe:\n  - apply: fix.patch\n"
    )
    twice = item(
        "FIX-001",
        "Twice is thrice",
        "- Priority: P1",
        "- Type: bugfix",
        "- Guard: tests/test_twice.py::test_twice",
        rows=0,
    ) + ("- Exit:\n  - [ ] C1 `pytest tests/test_twice.py::test_twice` — the double is right\n")
    wait = "waiting — On: {}; Check: test -f {}; Poll: 1s; Until: {}-01-01"
    parts = [
        play,
        half,
        twice,
        item("ACK-001", "The other side answers", status=wait.format("Ann", "ack.txt", 2090)),
        item("NEVER-001", "It never answers", status=wait.format("Bob", "never.txt", 2090)),
        item("GONE-001", "Too late", status=wait.format("Eve", "gone.txt", 2020)),
        item("NEED-001", "Thinking", "- Priority: P1", "- Needs: agent"),
        item("DONE-001", "Finished already").replace("[ ]", "[x]"),
        item("DROP-001", "Given up", status="dropped — nobody wants it"),
        item("PROT-001", "Behind the fence", "- Priority: P1", rows=0)
        + "- Exit:\n  - [ ] C1 `grep -q permission protected.txt` — changed\n",
        item("LATE-001", "Behind what is blocked", "- Depends: STUCK-001"),
        *[item(f"{kind}-001", f"It is {kind.lower()}", "- Priority: P1") for kind in BROKEN],
        *[item(f"WORK-{n:03d}", f"Part {n} of the work", rows=3) for n in range(1, 5)],
        item("CHEAT-001", "A cheat", "- Priority: P3"),
    ]
    return "# Plan\n\n" + "\n".join(parts)


class Story:
    """The repository while it is made."""

    def __init__(self, folder: Path) -> None:
        """Make the start: a commit on main. Python is reached by a name in the same folder."""
        # The log holds the interpreter's path: a link keeps the maker's own folders out of it.
        (folder / "venv").symlink_to(Path(sys.prefix))
        self.python = folder / "venv" / "bin" / "python"
        self.root = folder / pins.NAME
        self.said: list[dict[str, Any]] = []
        for name, text in {
            **FIXES,
            "docs/fix_plan.md": ledger(),
            "orchestration.yaml": CONFIG,
        }.items():
            self.write(name, text)
        shutil.copytree(
            Path(__file__).parent / "scripted",
            self.root / "agents",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        pins.git(self.root, "init", "-q", "-b", "main")
        pins.git(self.root, "config", "user.email", "a@example.org")
        pins.git(self.root, "config", "user.name", "A")
        self.commit("start")

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def commit(self, message: str) -> None:
        """Commit all as a person does."""
        pins.git(self.root, "add", "-A")
        pins.git(self.root, "commit", "-q", "-m", message)

    def wish(self, text: str) -> None:
        """Say what the scripted supervisor orders next."""
        self.write("docs/wishes.txt", text + "\n")
        self.commit("a wish")

    def do(self, *words: str) -> None:
        """Run the program and note its exit code."""
        done = subprocess.run(
            [str(self.python), "-c", MAIN, *words],
            cwd=self.root,
            text=True,
            timeout=300,
            capture_output=True,
            check=False,
            env={**os.environ, **pins.QUIET_ENV},
        )
        print(done.returncode, " ".join(words), "|", done.stdout.strip()[:200], flush=True)
        if done.returncode not in (0, 1, 3, 4, 5, 6, 75):
            print(done.stderr[-1500:])
        self.said.append({"words": list(words), "code": done.returncode})


def tell(story: Story) -> None:
    """The story, in the order in which a person and the program act."""
    do = story.do
    do("run", "--cycles", "2", "--json")
    do("run", "--json")
    old = story.root.parent / "old_galph_memory.md"
    shutil.copyfile(pins.ROOT / "tests" / "fixtures" / "documents" / "memory_dose.md", old)
    do("history", "import", str(old), "--json")
    story.write("ack.txt", "yes\n")
    story.commit("the answer")
    do("steer", "prefer short names", "--json")
    do("run", *CUSTOM, "--cycles", "12", "--json")
    do("approve", "PROT-001", "protected.txt", "--json")
    do("run", *CUSTOM, "--cycles", "6", "--json")
    do("pause", "lunch", "--json")
    do("run", *CUSTOM, "--json")
    do("resume", "--json")
    do("reopen", "STUCK-001", "--reason", "the password is known", "--json")
    do("run", *CUSTOM, "--supervisor-agent", "custom", "--cycles", "1", "--json")
    story.wish("BAD-999 WORK-003 it is smaller")
    do("run", *CUSTOM, "--supervisor-agent", "custom", "--cycles", "1", "--json")
    do("supervisor", *CUSTOM, "--json")
    do("worker", *CUSTOM, "--json")
    do("revert", "2", "--json")
    do("run", *CUSTOM, "--cycles", "4", "--json")
    do("run", "--json")
    pins.git(story.root, "remote", "add", "origin", "../gone.git")
    pins.git(story.root, "config", "branch.main.remote", "origin")
    pins.git(story.root, "config", "branch.main.merge", "refs/heads/main")
    do("run", *CUSTOM, "--cycles", "8", "--push", "--json")
    do("run", *CUSTOM, "--json")
    do("resume", "--json")
    do("run", "--json")
    do("supervisor", *CUSTOM, "--json")


def store(source: Path, said: list[dict[str, Any]], folder: Path) -> None:
    """Write the fixtures."""
    out = pins.FIXTURES
    shutil.rmtree(out, ignore_errors=True)
    (out / "receipts").mkdir(parents=True)
    exported = pins.orchestrate("log", "export", cwd=source).out
    pack(out / "log.jsonl.gz", exported)
    events = pins.events_of(exported)
    pack(out / "state.json.gz", pins.pretty(pins.state_json(pins.replay(events))))
    pack(out / "prefixes.txt.gz", "\n".join(pins.prefix_digests(events)) + "\n")
    bundle = ["bundle", "create", "-q", str(out / "small.bundle"), "--branches"]
    pins.git(source, "gc", "-q", "--aggressive", "--prune=now")
    pins.git(source, *bundle)
    receipts(source, out / "receipts")
    for name in ("replayed", "orders"):
        shutil.rmtree(folder / name, ignore_errors=True)
    replayed = folder / "replayed"
    replayed.mkdir()
    root = pins.clone(replayed)
    pack(out / "branch_status.json.gz", status(root))
    (folder / "log.jsonl").write_text(exported)
    pins.orchestrate("log", "import", str(folder / "log.jsonl"), cwd=root)
    pack(out / "status.json.gz", status(root))
    pack(out / "texts.json.gz", pins.pretty(texts(root)))
    stats = json.loads(pins.orchestrate("stats", "--json", cwd=root).out)
    (out / "stats.json").write_text(pins.pretty(stats))
    verified = pins.orchestrate("verify", "--json", cwd=root)
    words = pins.orchestrate("verify", cwd=root)
    (out / "verify.json").write_text(
        pins.pretty({"code": verified.code, "json": json.loads(verified.out), "text": words.out})
    )
    report(root, out)
    dry = pins.orchestrate("run", "--dry-run", "--json", cwd=root)
    (out / "next.json").write_text(pins.pretty({"code": dry.code, "json": json.loads(dry.out)}))
    (out / "validate_input_md.json").write_text(pins.pretty(pins.validations(folder / "orders")))
    (out / "exit_codes.json").write_text(pins.pretty(pins.exit_codes(root)))
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    (out / "outside_codes.json").write_text(pins.pretty(pins.outside_codes(bare)))
    pack(out / "help.json.gz", pins.pretty(pins.help_texts(bare)))
    made = {
        "commit": pins.git(pins.ROOT, "rev-parse", "HEAD").strip(),
        "versions": {n: importlib.metadata.version(n) for n in ("typer", "click", "rich")},
        "turns": events[-1].turn,
        "events": len(events),
        "kinds": dict(sorted(collections.Counter(e.kind for e in events).items())),
        "verdicts": dict(
            sorted(
                collections.Counter(
                    e.data["verdict"] for e in events if e.kind == "verdict"
                ).items()
            )
        ),
        "ends": [f"{e.data['reason']} {e.data['code']}" for e in events if e.kind == "run_end"],
        "commands": [
            {**row, "words": [pins.neutral(w, source) for w in row["words"]]} for row in said
        ],
    }
    (out / "made.json").write_text(pins.pretty(made))
    print(json.dumps(made["kinds"]), made["verdicts"], made["ends"], made["turns"])


def pack(path: Path, text: str) -> None:
    """Write packed text, without a time in it."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def status(root: Path) -> str:
    """`orchestrate status --json` in canonical form."""
    said = json.loads(pins.orchestrate("status", "--json", cwd=root).out)
    return pins.pretty(pins.without_moment(said))


def texts(root: Path) -> dict[str, str]:
    """What a person reads of the same log."""
    asked = (
        ["status", "--all"],
        ["why"],
        ["why", "--json"],
        ["stats"],
        ["tail", "-n", "30"],
        *(["show", str(n)] for n in range(0, 60, 4)),
    )
    return {" ".join(words): pins.orchestrate(*words, cwd=root).out for words in asked}


def report(root: Path, out: Path) -> None:
    """The report as JSON and the digest of its page."""
    page = root.parent / "page.html"
    said = json.loads(pins.orchestrate("report", "-o", str(page), "--json", cwd=root).out)
    digest = pins.page_digest(page.read_text(), said["generated_at"])
    view = {"evidence": said["evidence"], "page_sha256": digest}
    (out / "report.json").write_text(pins.pretty(view))


def receipts(root: Path, out: Path) -> None:
    """Receipts of the last, the first and a guarded landing, byte for byte."""
    paths = [
        p
        for p in pins.git(root, "ls-tree", "-r", "--name-only", "main").splitlines()
        if p.endswith("/receipt.json")
    ]
    found = {p: pins.git(root, "show", f"main:{p}") for p in paths}
    guarded = [p for p in paths if '"TDD"' in found[p] or '"base": {' in found[p]]
    for number, path in enumerate(dict.fromkeys([paths[0], *guarded[:2], paths[-1]]), start=1):
        (out / f"receipt_{number}.json").write_text(found[path])
        (out / f"receipt_{number}.path").write_text(path + "\n")


def main() -> int:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="work here and leave it; store what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pins-") as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        notes = folder / "said.json"
        if notes.exists():
            said, root = json.loads(notes.read_text()), folder / pins.NAME
        else:
            story = Story(folder)
            tell(story)
            said, root = story.said, story.root
            notes.write_text(json.dumps(said))
        store(root, said, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
