"""Programs that nobody has recorded: how they end, and how they tell that they cannot work now."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from orchestration.agents.base import Outcome
from orchestration.agents.custom import CustomAgent
from orchestration.agents.registry import PROGRAMS, get_agent
from orchestration.errors import HarnessError
from orchestration.sandbox import fence
from programs_made import turn_in

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LEVELS = [level for level in ("bwrap", "kernel", "scan") if level in (*fence.available(), "scan")]


def told(tmp_path: Path, code: str, agent: str = "custom", level: str = "scan") -> Outcome:
    """The outcome of a program that runs `code`, in the place of a known one or as one's own."""
    from dataclasses import replace

    (tmp_path / "home").mkdir(exist_ok=True)
    turn = replace(
        turn_in(tmp_path, tmp_path / "home", path=[tmp_path / "bin"], level=level),
        now=lambda: NOW,
    )
    if agent == "custom":
        return CustomAgent(["{python}", "-c", code]).run(turn)
    program = tmp_path / "bin" / agent
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.read()\n{code}\n")
    program.chmod(0o755)
    return get_agent(agent).run(turn)


LIMITS = [
    ('{"error": {"type": "rate_limit_error", "resets_at": 1795872000000}}', 80),
    ('{"type": "error", "message": "quota exceeded", "reset": "2026-11-28T13:20:00Z"}', 80),
    ('{"level": "error", "status": 429, "headers": {"retry-after": "3600"}}', 60),
    ("Rate limit exceeded. Try again in 3h 12m", 192),
    ("You've hit your limit · resets 3pm (UTC)", 180),
    ("Error: 429 Too Many Requests\nx-ratelimit-reset: 1795872000", 80),
]


@pytest.mark.parametrize("agent", ["custom", *PROGRAMS])
@pytest.mark.parametrize("ends", [0, 1])
@pytest.mark.parametrize(("words", "minutes"), LIMITS)
def test_a_limit_is_known_with_its_time_however_it_is_printed(
    words: str, minutes: int, ends: int, agent: str, tmp_path: Path
) -> None:
    """On standard output, by a program that then ends well or badly and gave no event."""
    found = told(tmp_path, f"print({words!r}); raise SystemExit({ends})", agent)
    assert "rate_limit" in (found.kind, found.suspected), found
    assert found.retry_at == NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize("agent", ["custom", *PROGRAMS])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Invalid API key · Please run /login", "auth"),
        ("Error: 503 Service Unavailable", "overloaded"),
        ("fatal: getaddrinfo ENOTFOUND api.example.org", "network"),
        ('{"error": {"message": "invalid api key", "code": 401}}', "auth"),
    ],
)
def test_an_error_on_standard_output_with_exit_0_is_an_outage(
    words: str, kind: str, agent: str, tmp_path: Path
) -> None:
    found = told(tmp_path, f"print({words!r})", agent)
    assert kind in (found.kind, found.suspected), found


WARNING = "WARN responses_retry: retrying sampling request (1/5 in 3600s)... 429 Too Many Requests"


@pytest.mark.parametrize(
    ("agent", "lines"),
    [
        ("codex", ['{"type": "turn.started"}', WARNING,
                   '{"type": "error", "message": "Reconnecting... (last status: 429)"}']),
        ("codex", ['{"type": "error", "message": "Reconnecting... (last status: 429)"}', WARNING]),
        ("opencode", ['{"type": "step_start"}', "Error: " + WARNING]),
        ("gemini", ['{"type": "init"}', "Attempt 1 failed with status 429. Retrying in 3600s"]),
        ("claude", ['{"type": "system", "subtype": "init"}', "[ERROR] API error: 429",
                    '    "retry-after": "3600",']),
    ],
)  # fmt: skip
def test_what_a_program_prints_beside_its_events_counts_where_it_falls_silent(
    agent: str, lines: list[str], tmp_path: Path
) -> None:
    from dataclasses import replace

    from orchestration.agents.base import Clocks

    code = f"print({chr(10).join(lines)!r}, flush=True)\nimport time; time.sleep(600)"
    program = tmp_path / "bin" / agent
    program.parent.mkdir()
    (tmp_path / "home").mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.read()\n{code}\n")
    program.chmod(0o755)
    turn = turn_in(tmp_path, tmp_path / "home", path=[program.parent])
    turn = replace(turn, now=lambda: NOW, clocks=Clocks(60, 1.5, 0.2))
    found = get_agent(agent).run(turn)
    assert "rate_limit" in (found.kind, found.suspected), found
    assert (found.retry_at, found.clock) == (NOW + timedelta(hours=1), "idle")


@pytest.mark.parametrize("agent", ["custom", "claude", "opencode"])
def test_output_of_any_size_and_any_bytes_is_taken(agent: str, tmp_path: Path) -> None:
    began = time.monotonic()
    found = told(
        tmp_path,
        "import sys; out = sys.stdout.buffer\n"
        "for n in range(200): out.write(b'\\xff\\x00{' * 349525 + (b'\\n' if n % 3 else b''))",
        agent,
    )
    assert found.log_path is not None and found.log_path.stat().st_size < 17 << 20
    assert found.kind == ("done" if agent == "custom" else "crash")
    found.text.encode()
    assert time.monotonic() - began < 60


def test_a_result_that_is_cut_off_is_none(tmp_path: Path) -> None:
    line = json.dumps({"type": "result", "subtype": "success", "result": "fixed", "x": "y" * 99})
    code = f'print(\'{{"type": "system", "subtype": "init"}}\')\nprint({line[:-30]!r}, end=\'\')'
    found = told(tmp_path, code, "claude")
    assert (found.kind, found.dead) == ("crash", False)


# -- programs that cannot run at all ---------------------------------------------------------------


def foreign(folder: Path) -> Path:
    """An executable for another kind of processor: the header is all that a kernel looks at."""
    machine = 0xF3 if os.uname().machine != "riscv64" else 0x3E
    head = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + bytes([machine, 0]) + b"\x01" + bytes(99)
    )
    return executable(folder, head)


def executable(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    place = folder / "claude"
    place.write_bytes(content)
    place.chmod(0o755)
    return place


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"foreign", "another kind of processor"),
        (b"#!/no/such/interpreter -x\nprint(1)\n", "/no/such/interpreter"),
    ],
)
@pytest.mark.parametrize("agent", ["custom", "claude"])
def test_a_program_that_cannot_be_started_is_named(
    agent: str, content: bytes | None, words: str, level: str, tmp_path: Path
) -> None:
    place = tmp_path / "bin/claude"
    if content == b"foreign":
        foreign(place.parent)
    elif content is not None:
        executable(place.parent, content)
    (tmp_path / "home").mkdir()
    turn = turn_in(tmp_path, tmp_path / "home", path=[place.parent], level=level)
    worker = CustomAgent([str(place)]) if agent == "custom" else get_agent(agent)
    with pytest.raises(HarnessError) as caught:
        worker.run(turn)
    said = str(caught.value)
    assert words in said or (content is None and "is not installed" in said)
    assert "claude" in said
