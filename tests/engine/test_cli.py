"""The program `orchestrate`: exit codes, one JSON object, words in place of tracebacks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.config import ConfigProblem, load_config, parse_duration

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
- Recipe:
  - run: cp wanted.txt value.txt

### [W-001] A letter
- Status: waiting — On: Ann; Check: test -f answer.txt; Poll: 60s; Until: 2090-01-01
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}
PROGRAM = [sys.executable, "-c", "from orchestration.cli import main; main()"]


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_run_and_what_shows_it(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    planned = orchestrate(here.root, "run", "--dry-run", "--json")
    decision = json.loads(planned.stdout)
    assert (decision["action"], decision["item"]) == ("work", "A-001")
    assert here.harness().log.events == []
    done = orchestrate(here.root, "run", "--json")
    assert done.returncode == 6, done.stderr
    summary = json.loads(done.stdout)
    assert summary["reason"] == "BLOCKED_ON_USER"
    assert (summary["landed"], summary["waiting"]) == (["A-001"], ["W-001"])
    assert Path(summary["report"]).read_text().startswith("<!")
    assert "verdict for A-001: land" in done.stderr
    for words in (["status"], ["why"], ["show", "2"], ["verify"]):
        said = orchestrate(here.root, *words, "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)
        assert orchestrate(here.root, *words).stdout
    exported = orchestrate(here.root, "log", "export").stdout
    assert exported == "".join(e.line() + "\n" for e in here.harness().log.events)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "--agent", "nobody"], 2, "no agent is named 'nobody'"),
        (["run", "--wait", "soon"], 2, "not a duration"),
        (["run", "--cyles", "1"], 2, "No such option"),
        (["show", "77"], 2, "no such turn"),
        (["worker"], 2, "no open order"),
        (["worker", "--role", "galph"], 2, "another role"),
        (["approve", "X-1", "a"], 2, "no such item"),
    ],
)
def test_mistakes_become_words(place: Make, words: list[str], code: int, text: str) -> None:
    here = place(LEDGER, **VALUES)
    done = orchestrate(here.root, *words)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_refuses_what_a_run_refuses(place: Make) -> None:
    here = place(LEDGER.replace("Status: open", "Status: flying", 1), **VALUES)
    run, dry = orchestrate(here.root, "run"), orchestrate(here.root, "run", "--dry-run")
    assert run.returncode == dry.returncode == 2
    assert "E20" in dry.stderr
    # Words and order are the same; the seconds in front of a line are each run's own.
    said = [re.sub(r"^ *\d+\.\d s ", "", one.stderr, flags=re.MULTILINE) for one in (run, dry)]
    assert said[0] == said[1]


def test_one_turn_of_each_role_by_the_thin_entries(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    scripts = Path(__file__).parents[2] / "scripts"
    for entry, role, text in (
        ("supervisor.py", "galph", "Focus: A-001"),
        ("loop.py", "ralph", "A-001: land"),
    ):
        done = subprocess.run(
            [sys.executable, str(scripts / entry), "--role", role],
            cwd=here.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert text in done.stdout


def test_a_fresh_clone_takes_the_log_over_from_the_branch(place: Make, tmp_path: Path) -> None:
    here = place(LEDGER, **VALUES)
    orchestrate(here.root, "run")
    clone = tmp_path / "clone"
    here.git("clone", "-q", str(here.root), str(clone))
    subprocess.run(
        ["git", "fetch", "-q", "origin", "orchestration/log:orchestration/log"],
        cwd=clone,
        check=True,
        timeout=60,
    )
    refused = orchestrate(clone, "run")
    assert refused.returncode == 2
    assert "orchestrate log import --from-branch" in refused.stderr
    done = orchestrate(clone, "log", "import", "--from-branch")
    assert done.returncode == 0, done.stderr
    assert (
        orchestrate(clone, "log", "export").stdout == orchestrate(here.root, "log", "export").stdout
    )
    assert orchestrate(clone, "run").returncode == 6


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("pyton: python3", "unknown key pyton"),
        ("budgets: {turns: 3}", "unknown key turns"),
        ("import_roots: src", "a list of texts"),
        ("budgets: {turn_s: soon}", "not a duration"),
        ("budgets: {attempts_per_item: many}", "a number"),
        ("- a\n- b", "key: value"),
        ("a: [", "not valid YAML"),
        ("dwell_limit: 0", "an integer"),
    ],
)
def test_a_wrong_configuration_is_an_error(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(ConfigProblem) as caught:
        load_config(tmp_path, text)
    assert word in str(caught.value)


def test_configuration_values(tmp_path: Path) -> None:
    config = load_config(tmp_path, "budgets: {turn_s: 30m, cycles: 4}\nimport_roots: [src]\n")
    assert (config.budgets.turn_s, config.budgets.cycles) == (1800.0, 4)
    assert config.import_roots == ("src",)
    assert load_config(tmp_path) == load_config(tmp_path, "")
    assert [parse_duration(t, "x") for t in ("90", "90s", "1.5h", 2)] == [90.0, 90.0, 5400.0, 2.0]
