"""Feed spoilt output of agent programs to every reader: `fuzz_agents.py --lines N --seed S`.

N lines each: the recorded streams of tests/fixtures/recordings, with JSON changed at any depth or
text cut, doubled and mixed with junk; `custom` gets them as the last words of a program of one's
own. A failure is an exception, text that cannot be written, or a number that is none. Prints one
JSON object; `make proofs` keeps it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.agents.aider import AiderReader
from orchestration.agents.claude import ClaudeReader
from orchestration.agents.codex import CodexReader
from orchestration.agents.faults import last_fault
from orchestration.agents.gemini import GeminiReader
from orchestration.agents.opencode import OpencodeReader
from orchestration.agents.readers import Reader

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
FOLDER = Path(__file__).resolve().parents[2] / "tests/fixtures/recordings"
READERS: dict[str, type[Reader]] = {
    "aider": AiderReader,
    "claude": ClaudeReader,
    "codex": CodexReader,
    "gemini": GeminiReader,
    "opencode": OpencodeReader,
}
ODD = [None, True, -1, 10**400, 1e308, "", "\ud800", [], [1], {}, {"a": 1}, "429", "x" * 5000]
JUNK = ["", "\x00", "{", '"', "\ud800", "9" * 50, " resets 3pm (", " retry-after: ", " in 3h 12m",
        '{"error": {"resets_at": ', "Error: 429 ", "2026-11-28T13:20Z", "Feb 31"]  # fmt: skip


def recorded(name: str) -> list[str]:
    """The lines of a program's recordings, or those of all programs."""
    streams = sorted(FOLDER.glob(f"{name}-*" if name in READERS else "*-*"))
    return [line for path in streams for line in path.read_text(encoding="utf-8").splitlines()]


def spoil(value: object, dice: random.Random) -> object:
    """The same with one place changed, of any depth."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(sorted(value))
        return {**value, key: spoil(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        return [spoil(value[0], dice), *value[1:]]
    return dice.choice(ODD)


def spoilt(name: str, count: int, seed: int) -> Iterator[str]:
    """`count` lines of a program, most of them spoilt."""
    dice, lines = random.Random(seed), recorded(name)
    events: list[object] = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            events.append(None)
    # Large events are spoilt less often, so that the number of lines is what costs.
    small = [n for n, line in enumerate(lines) if len(line) < 1500]
    for n in range(count):
        which = dice.choice(small) if n % 20 else dice.randrange(len(lines))
        line, event = lines[which], events[which]
        if isinstance(event, dict) and n % 3:
            line = json.dumps(spoil(event, dice))
        elif line:
            at = dice.randrange(len(line))
            line = line[:at] + dice.choice(JUNK) + line[at:]
        yield line


def sound(reader: Reader) -> None:
    """Raise where what a reader has gathered cannot be used."""
    reader.text.encode()
    assert all(n >= 0 for n in (reader.tokens or {}).values())
    assert reader.cost is None or 0 <= reader.cost < 1e300
    when = reader.fault.retry_at if reader.fault is not None else None
    assert when is None or NOW <= when <= NOW + timedelta(days=32)


def fuzz(name: str, count: int, seed: int) -> list[str]:
    """Give a reader (or `custom`) so many lines; what went wrong, each in one line."""
    failures: list[str] = []
    reader = READERS[name](lambda: NOW) if name in READERS else None
    last: list[str] = []
    for n, line in enumerate(spoilt(name, count, seed)):
        try:
            if reader is not None:
                reader.line(line)
                if n % 1000 == 999:
                    last_fault(reader.aside, NOW, failed=True)
                    sound(reader)
                    reader = READERS[name](lambda: NOW)
            else:
                last = [*last[-19:], line]
                found = last_fault(last if n % 20 == 0 else [line], NOW, failed=bool(n % 2))
                assert found is None or found.retry_at is None or found.retry_at >= NOW
        except Exception as problem:
            failures.append(f"{type(problem).__name__}: {problem}: {line[:200]!r}")
    return failures


def main() -> int:
    """Fuzz every reader and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=100_000, help="lines for each reader")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    began, failures, each = time.process_time(), [], {}
    for name in (*READERS, "custom"):
        started = time.process_time()
        failures += [f"{name}: {words}" for words in fuzz(name, given.lines, given.seed)]
        each[name] = round(time.process_time() - started, 1)
    seconds = round(time.process_time() - began, 1)
    lines = given.lines * len(each)
    found = {"readers": len(each), "lines": lines, "failures": len(failures), "seconds": seconds}
    print(json.dumps({**found, "seconds_each": each, "first": failures[:10]}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
