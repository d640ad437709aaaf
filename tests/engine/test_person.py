"""What a person types while the loop works: each command by the program, in real repositories."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestration.git import Repo

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
- Recipe:
  - run: cp wanted.txt value.txt
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}
PROGRAM = [sys.executable, "-c", "from orchestration.cli import main; main()"]
KEYS = ["reason", "text", "cycles", "landed", "rejected", "waiting", "blocked", "held", "report"]


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*PROGRAM, *words], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def said(root: Path, *words: str) -> Any:
    done = orchestrate(root, *words, "--json")
    return json.loads(done.stdout)


def test_run_revert_run_and_the_ledger_follows(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    done = orchestrate(here.root, "run", "--json")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (list(summary), done.returncode) == (KEYS, 0)
    turn = said(here.root, "status")["items"][0]
    assert turn["id"] == "A-001"
    refused = orchestrate(here.root, "revert", "77")
    assert refused.returncode == 2 and "that turn landed nothing" in refused.stderr
    taken = said(here.root, "revert", "2")
    assert (taken["item"], taken["turn"]) == ("A-001", 2)
    assert (here.root / "value.txt").read_text() == "wrong\n"
    assert "[ ] C1" in here.read("docs/fix_plan.md")
    again = said(here.root, "run")
    assert (again["reason"], again["landed"]) == ("DONE", ["A-001"])
    assert (here.root / "value.txt").read_text() == "right\n"
    assert said(here.root, "verify")["landings"]


def written(root: Path) -> set[str]:
    """Every path in the repository and in the harness's own folder, locks aside."""
    places = (root / ".git", Repo(root).state_dir)
    return {str(p) for place in places for p in place.rglob("*") if "lock" not in p.name}


def test_pause_stops_and_a_dry_run_knows_of_it_and_writes_nothing(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    assert said(here.root, "pause", "lunch")["kind"] == "pause"
    before = written(here.root)
    seen = said(here.root, "run", "--dry-run")
    assert (seen["action"], seen["exit"], seen["reason"]) == ("stop", "BLOCKED_ON_USER", "lunch")
    assert written(here.root) - before <= {str(Repo(here.root).state_dir / "log")}
    assert said(here.root, "run")["reason"] == "BLOCKED_ON_USER"
    assert "paused: lunch" in orchestrate(here.root, "status").stdout
    said(here.root, "resume")
    assert said(here.root, "run", "--dry-run")["item"] == "A-001"
    assert said(here.root, "run")["reason"] == "DONE"


def test_a_steer_is_delivered_once(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)
    assert orchestrate(here.root, "steer", "prefer short names").returncode == 0
    agent = stub(lambda turn, n: (turn.workspace / "value.txt").write_text(f"no {n}\n") and None)
    here.run(agent, cycles=2)
    assert ["prefer short names" in turn.brief for turn in agent.turns] == [True, False]


def test_why_carries_the_evidence_of_the_last_decision_in_80_columns(place: Make) -> None:
    here = place(LEDGER + "\n### [B-001] Later\n- Status: open\n- Depends: A-001\n", **VALUES)
    orchestrate(here.root, "run")
    last = said(here.root, "why")["last"]
    evidence = last["data"]["evidence"]
    rows = {row["id"]: row for row in evidence["items"]}
    assert "needs an agent" in rows["B-001"]["why_not"]
    assert evidence["not_shown"]["finished"] == 1
    text = orchestrate(here.root, "why").stdout
    assert "B-001: blocked: needs an agent" in text
    assert "not shown: 1 finished" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_damaged_log_refuses_names_the_line_and_the_named_command_helps(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    orchestrate(here.root, "run")
    path = Repo(here.root).state_dir / "log" / "000002.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1].replace("A-001", "A-002") + "".join(lines[2:]))
    for words in (["run"], ["status"], ["why"], ["tail"], ["log", "export"]):
        refused = orchestrate(here.root, *words)
        assert refused.returncode == 2, words
        assert "000002.jsonl:" in refused.stderr and "orchestrate log" in refused.stderr
    assert orchestrate(here.root, "log", "recover").returncode == 0
    forked = orchestrate(here.root, "run")
    assert "log import --from-branch" in forked.stderr
    assert orchestrate(here.root, "log", "import", "--from-branch").returncode == 0
    assert said(here.root, "run")["reason"] == "DONE"


def test_alternating_changes_are_stopped_by_the_patch(place: Make, stub: Any) -> None:
    check = "import sys; sys.exit(3 if 'A' in open('value.txt').read() else 4)"
    here = place(LEDGER.replace("cmp value.txt wanted.txt", f'python -c "{check}"'), **VALUES)
    here.write("orchestration.yaml", "dwell_limit: 9\n")
    here.commit("configuration")
    agent = stub(
        lambda turn, n: (turn.workspace / "value.txt").write_text("AB"[n % 2] + "\n") and None
    )
    summary = here.run(agent)
    assert (summary.reason, len(agent.turns)) == ("STALLED", 3)
    halts = [e.data["reason"] for e in here.harness().log.events if e.kind == "pivot"]
    assert halts == ["an attempt made the same change as one that had failed"]


def test_a_run_of_an_unready_repository_stops_before_anything_is_logged(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    here.write("orchestration.yaml", "import_roots: [nowhere]\n")
    here.commit("configuration")
    refused = orchestrate(here.root, "run")
    assert refused.returncode == 2
    assert "import roots" in refused.stderr and "nowhere" in refused.stderr
    assert here.harness().log.events == []


def test_the_default_agent_leaves_the_words_of_other_items_alone(place: Any) -> None:
    """One item has a recipe and lands; the others keep their status and a person's reason."""
    others = """### [B-001] For an agent
- Status: open — Mary looks at it first
- Exit:
  - [ ] C1 `cmp a.txt b.txt` — equal
"""
    done = """### [A-001] A recipe
- Status: open
- Exit:
  - [ ] C1 `test -f made.txt` — made
- Recipe:
  - run: touch made.txt

"""
    here = place(done + others, **{"a.txt": "1", "b.txt": "2"})
    here.run()
    assert "blocked" not in here.read("docs/fix_plan.md")
    assert "- Status: open — Mary looks at it first" in here.read("docs/fix_plan.md")
