"""`status` on one screen at any history, a run that lives told from one that died, `tail -f`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from orchestration.core import State
from orchestration.core.state import OpenCycle, Run
from orchestration.log import Holder, Stage, going_on, note_holder, read_stages
from orchestration.log.activity import Activity
from orchestration.log.holder import LOCK
from orchestration.views.model import CriterionView, ItemView, View
from orchestration.views.now import Now, now_of, standing_of, words_of
from orchestration.views.terminal import ago, bar, render_status

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
RECORDINGS = Path(__file__).parents[1] / "fixtures/recordings"
TESTS = 6
LEDGER = """# Fix plan

### [SLOW-001] A guard that takes its time
- Status: open
- Guard: tests/test_slow.py
- Exit:
  - [ ] C1 `test -s made.py` — it is made
- Recipe:
  - run: python make.py
    within: 1m
"""
SLOW = f"""
import os
import pathlib
import time
import pytest

@pytest.mark.parametrize("n", range({TESTS}))
def test_slow(n):
    time.sleep(60 if n == 3 and "LONG" in os.environ else 0)
    assert pathlib.Path("made.py").exists()
"""
MAKE = "import pathlib; print('making it'); pathlib.Path('made.py').write_text('made = 1')\n"


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", *names, *words], cwd=root, check=True, capture_output=True)
    return done.stdout.decode()


def status(root: Path) -> dict[str, Any]:
    done = subprocess.run([ORCHESTRATE, "status", "--json"], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def made(root: Path) -> Path:
    (root / "tests").mkdir(parents=True)
    (root / "docs").mkdir()
    (root / "docs/fix_plan.md").write_text(LEDGER)
    (root / "tests/test_slow.py").write_text(SLOW)
    (root / "make.py").write_text(MAKE)
    (root / "orchestration.yaml").write_text("keep_env: [LONG]\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("status") / "slow")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in which a run has ended."""
    root = made(tmp_path_factory.mktemp("ended") / "slow")
    subprocess.run([ORCHESTRATE, "run"], cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def watched(project: Path) -> dict[str, Any]:
    """A run that is looked at while it lives, killed in its guard, and followed by another."""
    found: dict[str, Any] = {"seen": [], "texts": []}
    subprocess.run([ORCHESTRATE, "status"], cwd=project, check=True, capture_output=True)
    with (project.parent / "tail.txt").open("wb") as out:
        tail = subprocess.Popen([ORCHESTRATE, "tail", "-f"], cwd=project, stdout=out)
        run = subprocess.Popen(
            [ORCHESTRATE, "run"],
            cwd=project,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LONG": "1"},
        )
        try:
            deadline = time.monotonic() + 240
            while time.monotonic() < deadline and run.poll() is None:
                now = status(project)["now"]
                found["seen"].append(now)
                if now["done"] == 3:
                    said = subprocess.run([ORCHESTRATE, "status"], cwd=project, capture_output=True)
                    found["live"] = said.stdout.decode()
                    break
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            said = subprocess.run([ORCHESTRATE, "status"], cwd=project, capture_output=True)
            found["dead"], found["after"] = said.stdout.decode(), status(project)["now"]
            done = subprocess.run([ORCHESTRATE, "run"], cwd=project, capture_output=True)
            found["code"], found["ended"] = done.returncode, status(project)
            time.sleep(1.5)
        finally:
            run.kill()
            tail.terminate()
            tail.wait()
    found["tail"] = (project.parent / "tail.txt").read_text()
    return found


def test_a_live_run_says_its_phase_and_how_far_the_guard_is(watched: dict[str, Any]) -> None:
    guard = watched["seen"][-1]
    assert (guard["state"], guard["tests"]) == ("live", TESTS) and guard["done"] == 3
    assert guard["what"] == "guard on the base" and guard["item"] == "SLOW-001"
    assert guard["said"].startswith("tests/test_slow.py::test_slow[3]")
    live = watched["live"]
    assert "LIVE" in live and f"of {TESTS} tests" in live and "[#" in live
    assert {one["state"] for one in watched["seen"]} <= {"none", "live"}


def test_a_killed_run_is_dead_and_says_what_to_type(watched: dict[str, Any]) -> None:
    assert watched["after"]["state"] == "dead"
    text = " ".join(watched["dead"].split())
    assert "DEAD" in text and "goes on where it was: orchestrate run" in text
    assert watched["code"] == 0 and watched["ended"]["ended"] == "DONE"
    assert watched["ended"]["now"]["state"] == "ended"


def test_tail_follows_every_stage(watched: dict[str, Any]) -> None:
    told = watched["tail"]
    for words in (
        "begins: playbook on SLOW-001",
        "begins: guard on the attempt",
        "guard on the attempt: pass",
        "begins: guard on the attempt, tests in the opposite order",
        "check C1: passed",
        "verdict SLOW-001: land",
        "run_end: DONE",
    ):
        assert words in told, told


def many(groups: dict[str, int]) -> View:
    """A view of a long history: hundreds of items, long words everywhere."""
    items = []
    for group, number in groups.items():
        for n in range(number):
            items.append(
                ItemView(
                    id=f"{group.upper()}-{n:03d}", title="\x1b[2J漢字 " + "words " * 40,
                    group=group, status=group, reason="because " * 60, priority="P1", depends=(),
                    criteria=(CriterionView("C1", False, "it is", "true"),), waits_for="", check="",
                    until="", attempts=3, dwell=2, seconds=1.0, commits=("0" * 12,) * 9,
                    work="orchestration/attempts/x/1",
                )
            )  # fmt: skip
    advice = tuple(f"{i.id}: orchestrate reopen {i.id} --reason WHAT" for i in items[:300])
    progress = {"verified": ["C1"], "item": "X", "at": "now", "turn": 1}
    now = Now("live", 1, "X-001", 999, "guard " * 60, "", 3723.0, "said " * 90, 5.0, 7, 20)
    return View(
        repository="r" * 30, branch="main", head="0" * 12, generated_at="", run_id="x",
        agent="claude", started_at="2026-01-01T00:00:00Z", ended="", died_at="", end_text="",
        cycles=500,
        paused="", tamper="", items=tuple(items), turns=(), last_progress=progress, advice=advice,
        now=now, unpushed=3, stops=("cycles 3 of 10",), fence="no fence",
        spend={"agent_s": 1.0, "money": 2.5, "money_cap": 10},
    )  # fmt: skip


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
@pytest.mark.parametrize("rows", [12, 23, 50])
@pytest.mark.parametrize("state", ["live", "dead", "elsewhere", "ended"])
def test_status_is_one_screen_at_any_history(width: int, rows: int, state: str) -> None:
    view = many({"landed": 400, "blocked": 90, "waiting": 40, "held": 3, "working": 1, "open": 70})
    view = replace(view, now=replace(view.now, state=state), ended="DONE" * (state == "ended"))
    lines = render_status(view, width=width, rows=rows).splitlines()
    assert len(lines) <= rows
    assert all(len(line) + line.count("漢") + line.count("字") <= width for line in lines)
    assert not any("\x1b" in line for line in lines)
    text = "\n".join(lines)
    assert "What to type next" in text and "Spent:" in text
    if rows >= 23 and width >= 40:
        for words in ("Last progress", "Unpushed: 3", "HELD-000", "BLOCKED-000"):
            assert words in text, text
        assert "87 not shown" in text or "not shown" in text


def test_status_on_80x24_names_every_group_and_counts_what_it_leaves_out() -> None:
    view = many({"landed": 400, "blocked": 90, "waiting": 40, "held": 3, "working": 1})
    text = render_status(view, rows=23)
    for words in ("400 landed", "Blocked (90)", "Waiting (40)", "Held for review (3)", "In work"):
        assert words in " ".join(text.split())
    assert "[########----------------] 7 of 20 tests" in text and "for 1 h 2 min" in text
    assert "cycles 3 of 10" in text and "no fence" in text


def test_the_command_fits_the_terminal_that_it_is_in(project: Path) -> None:
    env = {**os.environ, "COLUMNS": "40", "LINES": "12"}
    done = subprocess.run([ORCHESTRATE, "status"], cwd=project, capture_output=True, env=env)
    lines = done.stdout.decode().splitlines()
    assert len(lines) <= 11 and max(map(len, lines)) <= 40


@pytest.mark.parametrize("words", [["status"], ["tail", "-n", "3"], ["why"]])
def test_a_terminal_that_cannot_write_every_sign_gets_what_it_can(
    ended: Path, words: list[str]
) -> None:
    env = {**os.environ, "COLUMNS": "40", "LINES": "12", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([ORCHESTRATE, *words], cwd=ended, capture_output=True, env=env)
    assert b"Traceback" not in done.stderr, done.stderr
    lines = done.stdout.decode("ascii").splitlines()
    if words == ["status"]:
        assert lines and max(map(len, lines)) <= 40 and any(line.endswith("~") for line in lines)


def test_the_headline_of_an_ended_run_says_how_it_ended_on_a_narrow_screen() -> None:
    view = replace(many({"landed": 400}), repository="ptycho", ended="DONE")
    view = replace(view, now=replace(view.now, state="ended"), agent="playbook")
    head = " ".join(render_status(view, width=40, rows=23).split())
    assert "ended: DONE" in head.partition("Items:")[0]


def test_standing() -> None:
    run, holder = Run("x", "playbook", "2026-01-01T00:00:00Z", 0), Holder(1, 0.0, "")
    assert standing_of(State(), None, died=True) == "none"
    assert standing_of(State(run=run), None, died=True) == "dead"
    assert standing_of(State(run=run), holder, died=False) == "live"
    assert standing_of(State(run=replace(run, ended="DONE")), holder, died=True) == "ended"
    assert standing_of(State(run=run), None, died=False) == "elsewhere"


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


def test_stages_that_are_cut_or_strange_are_passed_over(tmp_path: Path) -> None:
    activity = Activity(tmp_path, Clock(), lambda text: text.replace("hunter2", "***"))  # type: ignore[arg-type]
    activity.said("the word is hunter2", 1)
    activity.begun("outer", 1)
    activity.begun("inner", 1, tmp_path / "turns/000001", 3)
    stages, offset = read_stages(tmp_path)
    assert [one.what for one in stages] == ["the word is ***", "outer", "inner"]
    assert stages[-1].log == "turns/000001"
    assert going_on(stages) == stages[-1]
    activity.over("inner", 1)
    with (tmp_path / "activity.jsonl").open("ab") as file:
        file.write(b'[1]\n{"at": 1}\nnothing\n{"at": "x", "tur')
    more, offset = read_stages(tmp_path, offset)
    assert [one.what for one in more] == ["inner"] and going_on([*stages, *more]) == stages[1]
    assert read_stages(tmp_path, offset)[0] == []
    (tmp_path / "activity.jsonl").write_text("")
    activity.said("anew", 2)
    assert [one.what for one in read_stages(tmp_path, offset)[0]] == ["anew"]


def test_a_link_that_an_agent_lays_is_not_followed(tmp_path: Path) -> None:
    """What lies outside of the state folder is no output of a turn."""
    state_dir, secret = tmp_path / "state", tmp_path / "secret.log"
    secret.write_text("the person's own\n")
    folder = state_dir / "turns/000001"
    (folder / "report/cli").mkdir(parents=True)
    (folder / "report/cli/recipe-1.log").symlink_to(secret)
    (state_dir / "log").mkdir()
    (state_dir / "log/000000.jsonl").write_text("")
    lock = FileLock(state_dir / LOCK)
    lock.acquire()
    activity = Activity(state_dir, Clock(), str)  # type: ignore[arg-type]
    activity.begun("playbook on X", 1, folder)
    state = State(run=Run("x", "playbook", "", 0), open=OpenCycle(1, "X-001", "agent"))
    now = now_of(state, state_dir, datetime.now(UTC))
    assert (now.state, now.what, now.said) == ("live", "playbook on X", "")
    (folder / "report/cli/recipe-2.log").write_text("key: AKIAIOSFODNN7EXAMPLF\n")
    assert "AKIAIOSFODNN7EXAMPLF" not in now_of(state, state_dir, datetime.now(UTC)).said
    (folder / "report/cli/recipe-2.log").write_text("a word hunter22\n")
    said = now_of(state, state_dir, datetime.now(UTC), ("hunter22",)).said
    assert said.startswith("a word") and "hunter22" not in said
    note_holder(state_dir)
    lock.release()
    assert now_of(state, state_dir, datetime.now(UTC)).state == "dead"


@pytest.mark.parametrize("program", ["claude", "codex", "opencode", "gemini"])
def test_the_last_line_of_an_agent_is_words_not_json(program: str) -> None:
    lines = (RECORDINGS / f"{program}-ok.jsonl").read_text().splitlines()
    said = [words for line in lines if (words := words_of(line))]
    assert said[-1] == "Fixed add() in calc.py; the test passes now."
    assert any("calc.py" in words for words in said[:-1])
    assert not any("{" in words or "The test in test_calc.py fails" in words for words in said)


def test_words_of_strange_lines() -> None:
    assert words_of("plain \t words ") == "plain words"
    assert words_of('{"type": "turn.started"}') == ""
    assert words_of("{broken") == "{broken"
    assert words_of("[" * 9) == "[" * 9 and len(words_of("x" * 999)) == 200
    assert words_of('{"a":' * 3000) != ""


def test_spans_and_bars() -> None:
    assert [ago(s) for s in (None, 5, 200, 7500, 3 * 86400)] == [
        "some time",
        "5 s",
        "3 min 20 s",
        "2 h 5 min",
        "3 days",
    ]
    assert bar(1, 2, 4) == "[##--]" and bar(0, 0, 2) == "[--]"
    assert going_on([Stage("", 1, "over", "x")]) is None
