"""What a person does around a run, by the command line: looks ahead, approves, waits, looks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.setup import doctor

Make = Callable[..., Any]
MAIN = "from orchestration.cli import main; main()"
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
- Recipe:
  - run: cp wanted.txt value.txt
"""
SECOND = """
### [B-001] Another thing
- Status: open
- Exit:
  - [ ] C1 `test -f other.txt` — there
- Recipe:
  - run: cp wanted.txt other.txt
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


def orchestrate(root: Path, *words: str, wrong: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert wrong or done.returncode == 0, done.stderr
    return done


def fingerprint(here: Any) -> dict[str, str]:
    """Every file of the repository, git's own and the harness's included, and every ref."""
    found = {"refs": here.git("for-each-ref")}
    for folder, _, names in os.walk(here.root):
        found[folder] = ""
        for name in names:
            path = Path(folder) / name
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def with_merged_results(here: Any) -> None:
    """A landing that waited beside a person's edit and that the person has merged since."""
    here.write("value.txt", "mine\n")
    said = orchestrate(here.root, "run", "--cycles", "1", "--json", wrong=True)
    assert json.loads(said.stdout)["landed"] == ["A-001"], said.stderr
    assert here.git("for-each-ref", "refs/heads/orchestration/results/main")
    here.git("checkout", "-q", "--", "value.txt")
    here.git("merge", "-q", "orchestration/results/main")


def test_a_dry_run_writes_nothing_at_all(place: Make) -> None:
    here = place(ITEM + SECOND, **VALUES)
    before = fingerprint(here)
    assert "work A-001" in orchestrate(here.root, "run", "--dry-run").stdout
    assert fingerprint(here) == before
    with_merged_results(here)
    before = fingerprint(here)
    assert "work B-001" in orchestrate(here.root, "run", "--dry-run").stdout
    assert fingerprint(here) == before
    assert json.loads(orchestrate(here.root, "run", "--json").stdout)["landed"] == ["B-001"]
    assert not here.git("for-each-ref", "refs/heads/orchestration/results/main")


def test_an_approval_lets_an_item_touch_what_is_protected(place: Make) -> None:
    here = place(ITEM, **VALUES, **{"orchestration.yaml": "protected: [value.txt]\n"})
    first = orchestrate(here.root, "run", "--json", wrong=True)
    assert json.loads(first.stdout)["rejected"] == ["A-001"], first.stderr
    assert "value.txt" in orchestrate(here.root, "status").stdout
    said = json.loads(orchestrate(here.root, "approve", "A-001", "value.txt", "--json").stdout)
    assert (said["kind"], said["item"]) == ("approve", "A-001")
    second = orchestrate(here.root, "run", "--json", wrong=True)
    assert json.loads(second.stdout)["landed"] == ["A-001"], second.stderr
    assert here.read("value.txt") == "right\n"
    assert "retry-reason: a person approved value.txt" in here.read("input.md")


def test_a_run_waits_for_what_arrives_meanwhile(place: Make) -> None:
    waiting = ITEM.replace(
        "Status: open",
        "Status: waiting — On: Ann; Check: test -f answer.txt; Poll: 1s; Until: 2090-01-01",
    )
    here = place(waiting, **VALUES)
    # Ann answers once she was asked, however long the program takes to start.
    program = (
        "import pathlib, sys, time\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "while not any('poll' in f.read_text() for f in log.glob('*.jsonl')):\n"
        "    time.sleep(0.05)\n"
        "open('answer.txt', 'w').close()\n"
    )
    log = here.harness().log.directory
    ann = subprocess.Popen([sys.executable, "-c", program, str(log)], cwd=here.root)
    try:
        said = orchestrate(here.root, "run", "--wait", "60s", "--json")
    finally:
        ann.kill()
        ann.wait()
    summary = json.loads(said.stdout)
    assert (summary["reason"], summary["landed"]) == ("DONE", ["A-001"])
    assert "nothing to do but wait" in said.stderr


def test_tail_follows_until_it_is_ended(place: Make) -> None:
    here = place(ITEM, **VALUES)
    orchestrate(here.root, "run", "--dry-run")
    watcher = subprocess.Popen(
        [sys.executable, "-u", "-c", MAIN, "tail", "-f", "--json"],
        cwd=here.root,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        orchestrate(here.root, "run")
        assert watcher.stdout is not None
        kinds: list[str] = []
        while not kinds or kinds[-1] != "run_end":
            kinds.append(json.loads(watcher.stdout.readline())["kind"])
    finally:
        watcher.kill()
        watcher.wait()
    events = [kind for kind in kinds if kind != "stage"]  # what is between events is told too
    assert events[0] == "run_start" and "verdict" in events
    last = orchestrate(here.root, "tail", "-n", "2").stdout.splitlines()
    assert len(last) == 2 and "run_end: DONE (0)" in last[1]


def test_a_cycle_that_an_earlier_run_left_open_counts_for_the_run_that_finishes_it(
    place: Make, stub: Any
) -> None:
    here = place(ITEM + SECOND, **VALUES)

    def interrupted(turn: TurnContext, n: int) -> Outcome:
        raise KeyboardInterrupt

    first = here.run(stub(interrupted))
    assert (first.reason, first.cycles) == ("INTERRUPTED", 0)
    said = orchestrate(here.root, "run", "--cycles", "1", "--json", wrong=True)
    summary = json.loads(said.stdout)
    assert (summary["reason"], summary["cycles"]) == ("BUDGET", 1), said.stderr
    assert summary["landed"] == ["A-001"]
    last = json.loads(orchestrate(here.root, "run", "--cycles", "1", "--json").stdout)
    assert (last["reason"], last["cycles"], last["landed"]) == ("DONE", 1, ["B-001"])


@pytest.mark.parametrize("words", [["status"], ["why"]])
def test_a_long_crash_text_is_short_here_and_whole_in_show(place: Make, words: list[str]) -> None:
    text = "\\n".join(f"line {n} of a long trace" for n in range(200)) + "\\nlast words"
    program = f"import sys; sys.exit('''{text}''')"
    command = json.dumps(["{python}", "-c", program])
    here = place(ITEM, **VALUES, **{"orchestration.yaml": f"agent_command: {command}\n"})
    orchestrate(here.root, "run", "--agent", "custom", wrong=True)
    said = orchestrate(here.root, *words).stdout
    assert max(map(len, said.splitlines())) <= 80
    assert len(said.splitlines()) < 40, said
    turn = max(e.turn for e in here.harness().log.events if e.kind == "agent_exit")
    shown = orchestrate(here.root, "show", str(turn)).stdout
    assert "line 165 of a long trace" in shown and "last words" in shown
    assert re.search(r"crash: …(line|\d+|of|a|long|trace) ", " ".join(shown.split()))


def test_a_long_reason_is_short_in_status_and_whole_in_show(place: Make) -> None:
    here = place(ITEM, **VALUES)
    orchestrate(here.root, "pause", " ".join(f"reason{n}" for n in range(300)))
    assert orchestrate(here.root, "run", wrong=True).returncode == 6
    said = orchestrate(here.root, "status").stdout
    assert max(map(len, said.splitlines())) <= 80
    assert "reason0" in said and "reason299" not in said
    assert "more lines: orchestrate status --json" in said
    assert "reason299" in orchestrate(here.root, "status", "--json").stdout
    assert "reason299" in orchestrate(here.root, "show", "0").stdout


@pytest.mark.parametrize(
    ("name", "fix"),
    [("turns", "find '"), ("workspaces", "orchestrate run"), ("checkouts", "run")],
)
def test_doctor_says_what_the_harness_keeps_and_how_to_make_room(
    place: Make, monkeypatch: pytest.MonkeyPatch, name: str, fix: str
) -> None:
    here = place(ITEM, **VALUES)
    rows = json.loads(orchestrate(here.root, "doctor", "--json").stdout)["checks"]
    assert [row["state"] for row in rows if row["name"] == "retention"] == ["ok"]
    old = here.harness().repo.state_dir / name / "old"
    old.mkdir(parents=True)
    (old / "output.bin").write_text("x" * 100_000)
    monkeypatch.setattr(doctor, "MAX_KEPT_BYTES", 90_000)
    row = next(check for check in doctor.examine(here.root) if check.name == "retention")
    assert (row.state, f"{name} 0.1" in row.found) == ("warn", True)
    assert fix in row.fix
    if name == "turns":
        subprocess.run(["sh", "-c", row.fix], cwd=here.root, check=True, timeout=60)
        assert old.exists()
        os.utime(old, (1, 1))
        subprocess.run(["sh", "-c", row.fix], cwd=here.root, check=True, timeout=60)
        assert not old.exists()
