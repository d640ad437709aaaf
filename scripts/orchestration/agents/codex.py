"""Codex: `codex exec --json`, JSON lines, then `turn.completed` or `turn.failed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestration.agents.programs import Login, Program, Start
from orchestration.agents.readers import JsonReader, count, part, words


class CodexReader(JsonReader):
    """Its events. An item of type `error` is a remark, not a failure."""

    def event(self, kind: str, event: dict[str, Any]) -> bool:
        """thread.started, item.completed, error, turn.completed, turn.failed; others pass."""
        if kind == "thread.started":
            self.session = words(event, "thread_id") or self.session
        elif kind == "error":
            self.went_wrong(words(event, "message"))
        elif kind in ("item.started", "item.completed"):
            self._item(kind, part(event, "item"))
        elif kind == "turn.completed":
            self._usage(part(event, "usage"))
            self.claim = "done"
            self.went_on()
            return True
        elif kind == "turn.failed":
            self.claim = "failed"
            self.went_wrong(words(part(event, "error"), "message"))
            return True
        return False

    def _item(self, kind: str, item: dict[str, Any]) -> None:
        what = words(item, "type")
        if what == "error":
            return
        self.went_on()
        if what == "agent_message":
            self.text = words(item, "text") or self.text
        elif kind == "item.completed" and words(item, "status") == "declined":
            self.deny(f"{what}: {words(item, 'command')}".removesuffix(": "))

    def _usage(self, used: dict[str, Any]) -> None:
        # input_tokens holds the cached ones, output_tokens those of reasoning.
        read, total = count(used, "cached_input_tokens"), count(used, "input_tokens")
        fresh = None if total is None else max(0, total - (read or 0))
        self.spend(
            input=fresh,
            output=count(used, "output_tokens"),
            cache_read=read,
            cache_write=count(used, "cache_write_input_tokens"),
        )


def start(turn: Start) -> list[str]:
    """Its own sandbox is off behind ours, where it fails and still exits with 0."""
    sandbox = "danger-full-access" if turn.fenced else "workspace-write"
    return [
        "exec",
        "--json",
        "--sandbox",
        sandbox,
        "--skip-git-repo-check",
        "-C",
        str(turn.workspace),
        *turn.args,
        "-",
    ]


def files(turn: Start) -> Mapping[str, str]:
    """It refuses to start where the folder that CODEX_HOME names is absent."""
    return {".codex/config.toml": ""}


PROGRAM = Program(
    name="codex",
    unreported=("money",),
    executable="codex",
    start=start,
    args_inside=True,
    files=files,
    reader=CodexReader,
    install="npm install --global @openai/codex",
    sign_in="codex login",
    login=(Login(".codex/auth.json", renewed=True),),
    settings=(".codex/config.toml",),
    moved={".codex": "$CODEX_HOME"},
    keys=("OPENAI_API_KEY", "CODEX_API_KEY"),
    titled=r"codex\S* v?\d+\.\d+\S*",
    help=("exec", "--help"),
    flags=("--json", "--sandbox", "--skip-git-repo-check", "--cd"),
    # How long it waits after a refusal stands in this part of its log alone.
    env={"CODEX_HOME": "{home}/.codex", "RUST_LOG": "error,codex_core::responses_retry=warn"},
)
