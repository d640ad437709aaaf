"""Real agent programs against the model on loopback, through the whole engine behind the fence."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from model_server import Fault, Served, serving
from orchestration.engine.loop import Engine, Summary
from orchestration.harness import Harness
from orchestration.setup.session import open_harness
from turns import BROKEN, TEST, git

PROGRAMS = ("claude", "codex", "opencode", "aider", "gemini")
INSTALLED = Path(__file__).parents[2] / ".agent-programs"
LEDGER = """# Plan

### [FIX-1] Addition subtracts
- Status: open
- Guard: tests/test_calc.py

`add()` in `calc/__init__.py` must add.
"""
KEY = "sk-loopback-key"
CODEX = """model = "mock"
model_provider = "mock"
[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
env_key = "MOCK_API_KEY"
wire_api = "responses"
"""
# A stream that stops is known by the idle clock; opencode and gemini take ten seconds to their
# first word, and five times as long on a busy machine.
BUDGETS = {"turn_s": 120, "idle_s": 45, "grace_s": 8}
SLOW = {"turn_s": 200, "idle_s": 90, "grace_s": 8}


class QuickClock:
    """The machine's time, except that nobody waits: what a sleep takes is added."""

    def __init__(self) -> None:
        import time

        self.time, self.slept = time, 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@dataclass(frozen=True)
class Run:
    """One run of a program: how it ended, and what the server and the log saw."""

    summary: Summary
    harness: Harness
    served: Served

    def events(self, kind: str) -> list[dict[str, object]]:
        return [e.data for e in self.harness.log.events if e.kind == kind]


def bin_folders() -> list[Path]:
    """Where `make agents` puts the programs."""
    found = [INSTALLED / name / "node_modules/.bin" for name in PROGRAMS]
    return [*found, INSTALLED / "aider/bin"]


def installed(program: str) -> Path | None:
    """The program as `make agents` installed it."""
    return next((f / program for f in bin_folders() if (f / program).exists()), None)


def settings(program: str, url: str) -> tuple[dict[str, str], list[str]]:
    """The environment and the arguments that lead a program to the model on loopback."""
    provider = f'{{name="mock",base_url="{url}/v1",env_key="MOCK_API_KEY",wire_api="responses"}}'
    model = {
        "provider": {
            "mock": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
                "models": {"mock": {}},
            }
        },
        "model": "mock/mock",
        "small_model": "mock/mock",
    }
    return {
        "claude": ({"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY}, []),
        "codex": (
            {"MOCK_API_KEY": KEY},
            ["-m", "mock", "-c", 'model_provider="mock"', "-c", f"model_providers.mock={provider}"],
        ),
        "opencode": (
            {"OPENCODE_CONFIG_CONTENT": json.dumps(model), "OPENCODE_DISABLE_MODELS_FETCH": "1"},
            ["-m", "mock/mock"],
        ),
        "gemini": (
            {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url},
            ["-m", "gemini-2.5-flash"],
        ),
        "aider": (
            {"OPENAI_API_BASE": f"{url}/v1", "OPENAI_API_KEY": KEY},
            ["--model=openai/mock", "--edit-format=diff"],
        ),
    }[program]


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def drive(
    program: str,
    folder: Path,
    fault: Fault | None = None,
    *,
    supervisor: str | None = None,
    reviewer: str | None = None,
) -> Run:
    """One run in a fresh repository below `folder`, with a HOME of its own.

    `supervisor` and `reviewer` are other programs in these roles; then every landing is reviewed.
    """
    root, home = folder / "repo", folder / "home"
    home.mkdir(parents=True)
    with serving(fault) as served:
        env, args = settings(program, served.url)
        for other in (supervisor, reviewer):
            env |= settings(other, served.url)[0] if other else {}
        if "codex" in (supervisor, reviewer):  # `agent_args:` are the worker's
            (home / ".codex").mkdir()
            (home / ".codex/config.toml").write_text(CODEX.format(url=served.url))
        config = {
            "agent": program,
            "agent_env": sorted(env),
            "agent_args": args,
            "budgets": SLOW
            if {"opencode", "gemini"} & {program, supervisor, reviewer}
            else BUDGETS,
            "review_every": 1,
        }
        files = {
            "calc/__init__.py": BROKEN,
            "tests/test_calc.py": TEST,
            "docs/fix_plan.md": LEDGER,
            "orchestration.yaml": yaml.safe_dump(config),
        }
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for words in (
            "init -q -b main",
            "config user.name P",
            "config user.email p@example.org",
            "add .",
            "commit -qm start",
        ):
            git(root, *words.split())
        path = os.pathsep.join([*map(str, bin_folders()), os.environ["PATH"]])
        with _environment(PATH=path, HOME=str(home), **env):
            harness = open_harness(
                root, cycles=1, clock=QuickClock(), supervisor=supervisor, reviewer=reviewer
            )
            summary = Engine(harness, lambda: "run1").run()
    return Run(summary, harness, served)


@dataclass(frozen=True)
class Case:
    """A fault, and what becomes of it: "landed", or RETRY_LATER after one of `outages`."""

    fault: Fault | None
    ends: str
    outages: tuple[str, ...] = ()


CASES = {
    "a good run": Case(None, "landed"),
    "401": Case(Fault(401), "RETRY_LATER", ("auth",)),
    "429 once, retry-after 2": Case(Fault(429, "2", times=1), "landed", ("rate_limit",)),
    "429, retry-after 3600": Case(Fault(429, "3600"), "RETRY_LATER", ("rate_limit", "network")),
    "500": Case(Fault(500), "RETRY_LATER", ("overloaded", "network")),
    "a stream that stops, once": Case(Fault(stream="hang", times=1), "landed", ("network",)),
    "malformed JSON": Case(Fault(stream="malformed"), "RETRY_LATER", ("network", "overloaded")),
    "a hang after the result": Case(Fault(stream="hold"), "landed", ("network",)),
}


def version(program: str) -> str:
    """What the installed program says that it is."""
    import subprocess

    place = installed(program)
    assert place is not None
    done = subprocess.run([place, "--version"], capture_output=True, text=True, timeout=60)
    return done.stdout.strip().splitlines()[-1]
