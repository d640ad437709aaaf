"""A long history in a real repository: the pinned story of forty-five cycles, told many times."""

from __future__ import annotations

import gzip
import json
import subprocess
from dataclasses import replace
from pathlib import Path

from orchestration.core import GENESIS, Event, verify_chain
from orchestration.git import Repo
from orchestration.log import import_events

PINS = Path(__file__).parents[1] / "fixtures/pins/harness"


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, timeout=60)
    return done.stdout.decode()


def story() -> list[Event]:
    """The pinned log's events."""
    text = gzip.decompress((PINS / "log.jsonl.gz").read_bytes()).decode()
    return verify_chain((f"log:{n}", line) for n, line in enumerate(text.splitlines(), start=1))


def told_again(events: list[Event], times: int) -> list[Event]:
    """The same events one after another, with turns and chain of one long log."""
    found: list[Event] = []
    last, sha = events[-1].turn, GENESIS
    for again in range(times):
        for event in events:
            turn = event.turn + again * (last + 1)
            one = replace(event, seq=len(found) + 1, turn=turn, prev_sha=sha)
            found.append(one)
            sha = one.sha
    return found


def repository(folder: Path, events: list[Event]) -> Path:
    """The pinned repository with a log."""
    root = folder / "long"
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "unborn")
    git(root, "fetch", "-q", str(PINS / "small.bundle"), "refs/heads/*:refs/heads/*")
    git(root, "checkout", "-q", "main")
    repo = Repo(root)
    repo.claim_state()
    import_events(repo.state_dir, events)
    return root


def with_text(events: list[Event], words: str) -> list[Event]:
    """The log with `words` in every text that an agent, an order or a check may have said."""
    spoken = {"text", "reason", "subject", "how", "command", "message"}

    def told(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: told(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [told(inner, key) for inner in value]
        return f"{value} {words}" if isinstance(value, str) and key in spoken else value

    found: list[Event] = []
    sha = GENESIS
    for event in events:
        data = json.loads(json.dumps(told(event.data)))
        one = replace(event, data=data, prev_sha=sha)
        found.append(one)
        sha = one.sha
    return found
