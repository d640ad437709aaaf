"""Gemini CLI: `--output-format stream-json`, one JSON object a line, a `result` at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestration.agents.programs import Login, Program, Start
from orchestration.agents.readers import MAX_TEXT, JsonReader, count, part, words

EXITS = {41: "auth: no way to sign in is set up", 53: "the turn limit of its settings"}
SETTINGS = ".gemini/settings.json"


class GeminiReader(JsonReader):
    """Its stream-json. It reports no cost."""

    def event(self, kind: str, event: dict[str, Any]) -> bool:
        """init, message, tool_use, error, result; others pass."""
        self.session = words(event, "session_id") or self.session
        if kind == "message" and words(event, "role") == "assistant":
            self.went_on()
            said = words(event, "content")
            self.text = (self.text + said)[-MAX_TEXT:] if event.get("delta") is True else said
        elif kind == "tool_use":
            self.text = ""  # what it says after the last tool is its answer
        elif kind == "error":
            self.went_wrong(words(event, "message"))
        elif kind == "result":
            self._result(event)
            return True
        return False

    def _result(self, event: dict[str, Any]) -> None:
        used = part(event, "stats")
        read, total = count(used, "cached"), count(used, "input_tokens")
        fresh = None if total is None else max(0, total - (read or 0))
        self.spend(input=fresh, output=count(used, "output_tokens"), cache_read=read)
        if words(event, "status") == "success":
            self.claim = "done"
            self.went_on()
        else:
            self.claim = "failed"
            self.went_wrong(words(part(event, "error"), "message"))


def start(turn: Start) -> list[str]:
    """Without `-p`: the prompt on standard input is enough."""
    return ["--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"]


def files(turn: Start) -> Mapping[str, str]:
    """With an API key and no settings it asks how to sign in, and ends; AGENTS.md is named too."""
    ways = {"GEMINI_API_KEY": "gemini-api-key", "GOOGLE_API_KEY": "vertex-ai"}
    chosen = next((way for name, way in ways.items() if turn.env.get(name)), None)
    settings: dict[str, Any] = {"context": {"fileName": ["AGENTS.md", "GEMINI.md"]}}
    if chosen:
        settings["security"] = {"auth": {"selectedType": chosen}}
    return {SETTINGS: json.dumps(settings)}


PROGRAM = Program(
    name="gemini",
    unreported=("money",),
    executable="gemini",
    start=start,
    reader=GeminiReader,
    files=files,
    install="npm install --global @google/gemini-cli",
    sign_in="gemini, then choose how to sign in",
    login=(Login(".gemini/oauth_creds.json", renewed=True),),
    settings=(SETTINGS, ".gemini/google_accounts.json"),
    moved={".gemini": "$GEMINI_CLI_HOME/.gemini"},
    keys=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    flags=("--output-format", "--approval-mode", "--skip-trust"),
    exits=EXITS,
)
