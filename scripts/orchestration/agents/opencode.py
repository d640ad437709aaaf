"""OpenCode: `opencode run --format json`, one JSON object a line, no event at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestration.agents.programs import Login, Program, Start
from orchestration.agents.readers import JsonReader, amount, count, part, words
from orchestration.agents.times import retry_after

NAMED = ".config/opencode/named.json"
"""Where the settings lie in a turn that OPENCODE_CONFIG names, beside the usual ones."""


class OpencodeReader(JsonReader):
    """Its events; tokens and cost come with every step."""

    def event(self, kind: str, event: dict[str, Any]) -> bool:
        """step_start, text, tool_use, step_finish, error; others pass."""
        self.session = words(event, "sessionID") or self.session
        piece = part(event, "part")
        if kind == "error":
            self._wrong(part(event, "error"))
        elif kind == "text":
            self.text = words(piece, "text") or self.text
            self.went_on()
        elif kind == "tool_use":
            self.went_on()
            state = part(piece, "state")
            told = words(state, "error")
            if words(state, "status") == "error" and ("permission" in told or "rejected" in told):
                asked = words(part(state, "input"), "command")
                self.deny(f"{words(piece, 'tool')}: {asked}".removesuffix(": "))
        elif kind == "step_finish":
            self._step(piece)
        return False

    def _step(self, piece: dict[str, Any]) -> None:
        self.went_on()
        used = part(piece, "tokens")
        self.spend(
            input=count(used, "input"),
            output=count(used, "output"),
            reasoning=count(used, "reasoning"),
            cache_read=count(part(used, "cache"), "read"),
            cache_write=count(part(used, "cache"), "write"),
        )
        # It writes 0 for a model whose price it does not know, which says nothing.
        spent = amount(piece, "cost")
        if spent:
            self.cost = (self.cost or 0.0) + spent
        if words(piece, "reason") in ("stop", "end_turn"):
            self.claim = "done"
        elif words(piece, "reason") == "length":
            self.claim = "partial"

    def _wrong(self, error: dict[str, Any]) -> None:
        data = part(error, "data")
        headers = {str(k).lower(): v for k, v in part(data, "responseHeaders").items()}
        self.claim = "failed"
        self.went_wrong(
            words(data, "message") or words(error, "name"),
            status=count(data, "statusCode"),
            retry_at=retry_after(words(headers, "retry-after"), self.now()),
        )


def start(turn: Start) -> list[str]:
    """The prompt comes on standard input, which is closed after it.

    It tells of no refusal that it waits through but in its log.
    """
    return ["run", "--format", "json", "--print-logs", "--log-level", "ERROR"]


def prepared(turn: Start) -> Mapping[str, str]:
    """Every permission is answered beforehand: a question would wait for ever."""
    try:
        known = json.loads(turn.env.get("OPENCODE_CONFIG_CONTENT") or "{}")
    except ValueError:
        known = {}
    known = known if isinstance(known, dict) else {}
    outside = "allow" if turn.fenced else "deny"
    answers = {"edit": "allow", "bash": "allow", "webfetch": "deny", "doom_loop": "deny"}
    fixed = {
        "permission": {**answers, "external_directory": outside},
        "autoupdate": False,
        "share": "disabled",
    }
    named = {"OPENCODE_CONFIG": str(turn.home / NAMED)} if (turn.home / NAMED).is_file() else {}
    return {**named, "OPENCODE_CONFIG_CONTENT": json.dumps({**known, **fixed})}


PROGRAM = Program(
    name="opencode",
    executable="opencode",
    start=start,
    prepared=prepared,
    reader=OpencodeReader,
    install="npm install --global opencode-ai",
    sign_in="opencode auth login",
    login=(Login(".local/share/opencode/auth.json", renewed=True),),
    settings=(".config/opencode/opencode.json", ".config/opencode/opencode.jsonc", NAMED),
    moved={
        NAMED: "$OPENCODE_CONFIG",
        ".config": "$XDG_CONFIG_HOME",
        ".local/share": "$XDG_DATA_HOME",
    },
    keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENCODE_CONFIG_CONTENT"),
    help=("run", "--help"),
    flags=("--format", "--model", "--print-logs", "--log-level"),
    env={
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    },
)
