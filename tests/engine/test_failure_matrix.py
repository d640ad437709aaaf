"""One row a program and fault: recorded streams of real programs, through the whole engine.

An executable in the program's place plays the recording until the fault is over, then the stream of
a good run, for which it makes the change that the order asks for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_outages import LEDGER, VALUES, Clock

Make = Callable[..., Any]
FOLDER = Path(__file__).parents[1] / "fixtures/recordings"
INDEX = json.loads((FOLDER / "index.json").read_text())
PLAYER = """#!{python}
import os, pathlib, signal, sys, time
sys.stdin.buffer.read()
over = pathlib.Path({over!r}).exists()
with open({count!r}, "a") as file:
    file.write("x")
sys.stdout.buffer.write(open({good!r} if over else {stream!r}, "rb").read())
sys.stdout.flush()
if over:
    pathlib.Path("value.txt").write_text("right\\n")
    raise SystemExit
if {hang}:
    time.sleep(600)
if {code} < 0:
    os.kill(os.getpid(), -{code})
raise SystemExit({code})
"""
# An outage ends the run with RETRY_LATER and costs nothing. What fell silent before it changed
# anything (gemini and opencode tell nothing of a 500) is one as well, known by the idle clock.
OUT = {
    "claude": {"401": "auth", "401-r1": "auth", "429": "rate_limit", "429-r1": "rate_limit",
               "500": "overloaded", "500-r1": "overloaded", "hang": "network",
               "malformed": "network"},
    "codex": {"401": "auth", "bare401": "auth", "429": "rate_limit", "429-noretry": "rate_limit",
              "500": "overloaded", "500-noretry": "overloaded", "hang": "network",
              "hang-idle5": "network", "malformed": "network", "cut": "network"},
    "opencode": {"401": "auth", "429": "rate_limit", "500": "network", "hang": "network",
                 "malformed": "network"},
    "gemini": {"401": "auth", "429": "network", "500": "network", "hang": "network",
               "malformed": "network"},
    "aider": {"401": "auth", "429": "rate_limit", "500": "overloaded", "hang": "network",
              "malformed": "overloaded"},
}  # fmt: skip
ROWS = [(program, fault) for program, faults in OUT.items() for fault in faults]
SETTINGS = "isolation: scan\nbudgets:\n  turn_s: 40\n  idle_s: 0.6\n  grace_s: 0.3\n"

CUSTOM = SETTINGS + 'agent_command: ["{{python}}", "-c", {code}]\n'


def install(tmp_path: Path, program: str, fault: str) -> tuple[Path, Path]:
    """The player in the program's place; the files that end the fault, and that count starts."""
    facts = INDEX[f"{program}-{fault}"]
    stream = next(FOLDER.glob(f"{program}-{fault}.*"))
    over, count = tmp_path / "over", tmp_path / "count"
    place = tmp_path / "bin" / program
    place.parent.mkdir()
    place.write_text(
        PLAYER.format(
            python=sys.executable,
            over=str(over),
            count=str(count),
            stream=str(stream),
            good=str(next(FOLDER.glob(f"{program}-ok.*"))),
            code=facts["exit_code"],
            hang=facts["wall"] > 70 and (facts["exit_code"] < 0 or facts["exit_code"] == 143),
        )
    )
    place.chmod(0o755)
    return over, count


@pytest.mark.parametrize(("program", "fault"), ROWS)
def test_an_outage_of_a_program_costs_nothing_and_is_over_when_it_is_over(
    program: str, fault: str, place: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, count = install(tmp_path, program, fault)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": SETTINGS})
    before, clock = here.subjects(), Clock()
    summary = here.run(program, clock=clock)
    kind = OUT[program][fault]
    assert (summary.reason, summary.exit_code) == ("RETRY_LATER", 75)
    assert f"{program}: {kind}: " in summary.text and "\n" not in summary.text
    assert ("; again at 2026-11-28T12:" in summary.text) == (kind != "auth")
    assert (summary.rejected, summary.blocked, here.subjects()) == ([], [], before)
    # Nobody asks again for a login; the others are asked until the turn's 40 s are over, which is
    # sooner where a stream names a wait of half a minute.
    asked = len(count.read_text())
    assert asked == 1 if kind == "auth" else asked in (2, 4)
    told = [e.data["outage"] for e in here.harness().log.events if e.kind == "outage"]
    assert set(told) == {kind}
    over.touch()
    summary = here.run(program, clock=clock)
    assert summary.landed == ["A-001"], summary.text
    known = here.harness().state.items["A-001"]
    assert (known.attempts, known.rejected, known.dwell) == (1, 0, 0)


@pytest.mark.parametrize("program", ["claude-429once", "codex-429once", "claude-cut"])
def test_a_fault_that_the_program_overcame_itself_is_none(
    program: str, place: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, fault = program.partition("-")
    over, count = install(tmp_path, name, fault)
    stream = next(FOLDER.glob(f"{program}.*"))
    text = (tmp_path / "bin" / name).read_text()
    (tmp_path / "bin" / name).write_text(text.replace(f"{name}-ok{stream.suffix}", stream.name))
    over.touch()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": SETTINGS})
    assert here.run(name, clock=Clock()).landed == ["A-001"]
    assert len(count.read_text()) == 1


# -- a hang after the result: the clock ends it, its work is judged, and the verdict says so -------

HANGS = """#!{python}
import pathlib, sys, time
sys.stdin.buffer.read()
pathlib.Path("value.txt").write_text("right\\n")
sys.stdout.buffer.write(open({stream!r}, "rb").read())
sys.stdout.flush()
time.sleep(600)
"""
# A result that is one event starts the short clock; the others are ended by their silence.
ENDED_BY = {"claude": "grace", "codex": "grace", "gemini": "grace",
            "opencode": "idle", "aider": "idle"}  # fmt: skip


@pytest.mark.parametrize("program", sorted(OUT))
def test_a_hang_after_the_result_ends_with_a_clock_and_the_work_is_judged(
    program: str, place: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "bin" / program
    there.parent.mkdir()
    stream = next(FOLDER.glob(f"{program}-ok.*"))
    there.write_text(HANGS.format(python=sys.executable, stream=str(stream)))
    there.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": SETTINGS.replace("0.6", "3")})
    assert here.run(program, clock=Clock(), cycles=1).landed == ["A-001"]
    events = here.harness().log.events
    ended = next(e.data for e in events if e.kind == "agent_exit")
    assert (ended["outcome"], ended["clock"]) == ("done", ENDED_BY[program])
    reason = next(e.data["reason"] for e in events if e.kind == "verdict")
    assert f"the {ENDED_BY[program]} clock ended the program" in reason
    assert not [e for e in events if e.kind == "outage"]


REPORT = "import os; open(os.environ['TURN_DIR'] + '/outcome.json', 'w').write('{}')\n"
REPORT = REPORT.replace("{}", '{"outcome": "done", "summary": "did it"}')
FIX = "open('value.txt', 'w').write('right\\n')\n"
CHATTER = "import time\nwhile True:\n    print('still here', flush=True)\n    time.sleep(0.2)"


@pytest.mark.parametrize(
    ("code", "clock", "verdict"),
    [
        (FIX + REPORT + "import time; time.sleep(600)", "idle", "land"),
        (FIX + REPORT + CHATTER, "total", "land"),
        # The result was seen, though nothing was changed: an attempt without progress.
        (REPORT + "import time; time.sleep(600)", "idle", "reject"),
        # No result was seen, and it was still at work: not judged.
        (FIX + CHATTER, "total", "reject"),
    ],
)
def test_a_hang_of_a_program_that_nobody_knows_is_judged_the_same(
    code: str, clock: str, verdict: str, place: Make
) -> None:
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    settings = settings.replace("turn_s: 40", "turn_s: 4")
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    here.run("custom", clock=Clock(), cycles=1)
    events = here.harness().log.events
    judged = next(e.data for e in events if e.kind == "verdict")
    assert judged["verdict"] == verdict, judged
    assert f"{clock} clock" in judged["reason"]
    ended = next(e.data for e in events if e.kind == "agent_exit")
    assert (ended["outcome"], ended["clock"]) == ("timeout", clock)


@pytest.mark.parametrize(
    "code", ["import os; os.kill(os.getpid(), 9)", "raise SystemExit(137)", "raise SystemExit(3)"]
)
def test_a_program_that_died_before_it_did_or_said_anything_spends_no_attempt(
    code: str, place: Make
) -> None:
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    summary = here.run("custom", clock=Clock())
    assert summary.reason == "RETRY_LATER" and "custom: crash: " in summary.text
    assert ("signal 9" if "kill" in code else "exit ") in summary.text
    assert (summary.rejected, summary.blocked) == ([], [])
    assert here.harness().state.items["A-001"].rejected == 0


def test_a_program_that_tells_of_its_limit_until_its_time_is_over_spends_no_attempt(
    place: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gemini says at each of its own attempts that there is a 429: it is never silent."""
    there = tmp_path / "bin/gemini"
    there.parent.mkdir()
    there.write_text(
        f'#!{sys.executable}\nimport sys, time\nsys.stdin.read()\nprint(\'{{"type": "init"}}\')\n'
        "while True:\n    print('Attempt failed with status 429. Retrying with backoff...',"
        " flush=True)\n    time.sleep(0.2)\n"
    )
    there.chmod(0o755)
    monkeypatch.setenv("PATH", f"{there.parent}:/usr/bin:/bin")
    settings = SETTINGS.replace("turn_s: 40", "turn_s: 4")
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    summary = here.run("gemini", clock=Clock(), cycles=1)
    assert summary.reason == "RETRY_LATER" and "gemini: rate_limit: " in summary.text
    assert (summary.rejected, summary.blocked) == ([], [])


def test_a_recipe_that_dies_is_an_attempt(place: Make) -> None:
    """The same recipe dies the same way however often it is run."""
    recipe = "- Recipe:\n  - run: python -c 'raise SystemExit(137)'\n"
    here, clock = place(LEDGER + recipe, **VALUES), Clock()
    summary = here.run(clock=clock, cycles=1)
    assert (summary.rejected, clock.slept) == (["A-001"], []), summary.text


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("raise SystemExit('429 Too Many Requests')", False),
        ("raise SystemExit('429 Too Many Requests; retry-after: 3600')", True),
        ("raise SystemExit('503 Service Unavailable')", False),
    ],
)
def test_whether_the_program_named_a_time_is_said(code: str, named: bool, place: Make) -> None:
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    summary = here.run("custom", clock=Clock())
    assert summary.reason == "RETRY_LATER"
    assert ("again at 2026-11-28T13:00:00Z" in summary.text) == named
    assert ("it named no time" in summary.text) != named


# -- a program of one's own: exit codes, and the last words before it ended ------------------------

HTML = "<html>503 Service Unavailable</html>"


@pytest.mark.parametrize(
    ("code", "kind", "when"),
    [
        ("raise SystemExit(75)", "overloaded", "12:01:15"),
        (
            "print('usage limit reached, try again in 3 hours'); raise SystemExit(75)",
            "rate_limit",
            "15:00:00",
        ),
        ("print('Error: 429 Too Many Requests'); raise SystemExit(1)", "rate_limit", "12:01:15"),
        ("print('status 429\\nretry after: 2h'); raise SystemExit(1)", "rate_limit", "14:00:00"),
        ("raise SystemExit('API Error: 401 Unauthorized')", "auth", ""),
        (f"raise SystemExit({HTML!r})", "overloaded", "12:01:15"),
        ("raise SystemExit('getaddrinfo ENOTFOUND api.example.org')", "network", "12:01:15"),
        ("print('litellm.AuthenticationError: no api key')", "auth", ""),
        ("raise SystemExit(127)", "crash", "12:01:15"),
        ("import time; time.sleep(600)", "network", "12:01:15"),
    ],
)
def test_what_a_custom_program_says_of_an_outage(
    code: str, kind: str, when: str, place: Make
) -> None:
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    before = here.subjects()
    summary = here.run("custom", clock=Clock())
    assert summary.reason == "RETRY_LATER" and f"custom: {kind}: " in summary.text
    assert (f"again at 2026-11-28T{when}" in summary.text) == bool(when)
    assert (summary.rejected, summary.blocked, here.subjects()) == ([], [], before)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit('ValueError: no such item')",
        # What was changed is judged, whatever the program says about its way there.
        "open('other.txt', 'w').write('x'); raise SystemExit('429 Too Many Requests')",
        "print('I read about rate limits and network errors')",
        "print('Error handling: rate limits and 429 are covered')",
        "open('other.txt', 'w').write('x'); import time; time.sleep(600)",
    ],
)
def test_a_failure_of_its_own_is_an_attempt(code: str, place: Make) -> None:
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    summary = here.run("custom", clock=Clock(), cycles=1)
    assert summary.reason != "RETRY_LATER"
    assert here.harness().state.items["A-001"].attempts == 1


def test_work_that_was_done_before_a_program_fell_silent_is_measured(place: Make) -> None:
    code = "open('value.txt', 'w').write('right\\n'); import time; time.sleep(600)"
    settings = CUSTOM.replace("{{", "{").replace("}}", "}").replace("{code}", json.dumps(code))
    here = place(LEDGER, **VALUES, **{"orchestration.yaml": settings})
    assert here.run("custom", clock=Clock(), cycles=1).landed == ["A-001"]
    ended = next(e.data for e in here.harness().log.events if e.kind == "agent_exit")
    assert (ended["outcome"], ended["clock"]) == ("timeout", "idle")
