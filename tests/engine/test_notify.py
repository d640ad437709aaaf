"""`notify:` runs a command, by argument list, when a person is needed and when a run ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.core import Event, payloads
from orchestration.engine.notify import filled, news_of
from orchestration.errors import HarnessError

ITEM = "### [A-001] One\n- Status: open\n- Exit:\n  - [ ] C1 `test -s a.txt` — there\n"
TELL = """
import json, os, sys
names = ("EVENT", "ITEM", "TEXT", "REPOSITORY")
with open(sys.argv[1], "a") as out:
    env = {name: os.environ["ORCHESTRATION_" + name] for name in names}
    out.write(json.dumps([sys.argv[2:], env]) + "\\n")
"""


def told(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def config(tmp_path: Path, *more: str) -> dict[str, str]:
    (tmp_path / "tell.py").write_text(TELL)
    words = ["python", str(tmp_path / "tell.py"), str(tmp_path / "told"), *more]
    return {"orchestration.yaml": f"notify: {json.dumps(words)}\n"}


def test_blocked_and_the_end_are_told_with_hostile_words_as_words(
    place: Any, stub: Any, tmp_path: Path
) -> None:
    here = place(ITEM, **config(tmp_path))
    evil = "no; touch /tmp/gone $(touch gone) `touch gone`\x1b[2J"

    def refuse(turn: TurnContext, n: int) -> Outcome:
        return Outcome("blocked", evil)

    summary = here.run(stub(refuse))
    rows = told(tmp_path / "told")
    words = [argv[0] for argv, _ in rows]
    assert words[-1] == summary.reason and words[:-1] == ["BLOCKED"] * (len(rows) - 1)
    assert len(rows) > 1
    assert rows[0][1]["ITEM"] == "A-001" and rows[0][1]["REPOSITORY"] == str(here.root)
    assert rows[0][0][1] == rows[0][1]["TEXT"] and "\x1b" not in rows[0][0][1]
    assert not (here.root / "gone").exists()


def test_retry_later_is_told(place: Any, stub: Any, tmp_path: Path) -> None:
    here = place(ITEM, **config(tmp_path, "--", "{event}:{item}", "{text}"))

    def out(turn: TurnContext, n: int) -> Outcome:
        return Outcome("auth", "please sign in")

    assert here.run(stub(out)).reason == "RETRY_LATER"
    (argv, _), *rest = told(tmp_path / "told")
    assert argv[:2] == ["--", "RETRY_LATER:"] and "please sign in" in argv[2] and rest == []


@pytest.mark.parametrize(
    "words", ['["no-such-program-here"]', '["python", "-c", "raise SystemExit(3)"]']
)
def test_a_command_that_fails_is_said_and_stops_nothing(place: Any, stub: Any, words: str) -> None:
    here, said = place(ITEM, **{"orchestration.yaml": f"notify: {words}\n"}), []

    def work(turn: TurnContext, n: int) -> str:
        (turn.workspace / "a.txt").write_text("x")
        return "done"

    summary = here.run(stub(work), say=said.append)
    assert summary.reason == "DONE"
    assert any(line.startswith("notify: ") for line in said)


def test_an_unknown_placeholder_is_an_error(place: Any, stub: Any) -> None:
    here = place(ITEM, **{"orchestration.yaml": 'notify: ["echo", "{what}"]\n'})
    with pytest.raises(HarnessError, match="unknown placeholder"):
        here.run(stub(lambda turn, n: None))


def test_flags_are_news_and_most_events_are_not() -> None:
    flag = payloads.Flag("G01", "a.py", 1, "odd")
    held = payloads.Judged("held", flags=(flag,)).to_json()
    event = Event(1, "", 7, "worker", "verdict", "A-001", held)
    assert news_of(event) == ("FLAGS", "A-001: 1 flag to answer: orchestrate review 7")
    landed = payloads.Judged("land").to_json()
    assert news_of(Event(1, "", 7, "worker", "verdict", "A-001", landed)) is None
    values = {"event": "E", "item": "", "repository": "/r", "text": "{item} t"}
    assert filled(["x", "{text}"], values) == ["x", "{item} t"]
    assert filled(["x"], values) == ["x", "E", "{item} t"]
