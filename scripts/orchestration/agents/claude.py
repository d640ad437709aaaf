"""Claude Code: `claude -p`, one JSON object a line, a `result` object at the end."""

from __future__ import annotations

from typing import Any

from orchestration.agents.programs import Login, Program, Start
from orchestration.agents.readers import JsonReader, amount, count, listed, part, words
from orchestration.agents.times import after, at_epoch

STOPPED_SHORT = ("error_max_turns", "error_max_budget_usd", "error_max_structured_output_retries")


class ClaudeReader(JsonReader):
    """Its stream-json; keys come in any order, so only parsed objects count."""

    def event(self, kind: str, event: dict[str, Any]) -> bool:
        """system/init and api_retry, rate_limit_event, assistant, result; others pass."""
        self.session = words(event, "session_id") or self.session
        if kind == "system" and event.get("subtype") == "api_retry":
            wait = amount(event, "retry_delay_ms")
            status = count(event, "error_status")
            self.went_wrong(
                words(event, "error").replace("unknown", "network"),
                status=status,
                retry_at=None if wait is None else after(wait / 1000, self.now()),
            )
        elif kind == "rate_limit_event":
            self._limit(event)
        elif kind == "assistant":
            self._said(event)
        elif kind == "result":
            self._result(event)
            return True
        return False

    def _limit(self, event: dict[str, Any]) -> None:
        limit = part(event, "rate_limit_info") or event
        if words(limit, "status") not in ("rejected", "blocked", "exceeded"):
            return
        resets = amount(limit, "resetsAt")
        when = None if resets is None else at_epoch(resets, self.now())
        self.went_wrong("usage limit reached", status=429, retry_at=when)

    def _said(self, event: dict[str, Any]) -> None:
        message = part(event, "message")
        told = [words(one, "text") for one in listed(message, "content")]
        text = "\n".join(line for line in told if line)
        if words(message, "model") == "<synthetic>":
            self.went_wrong(text or words(event, "error"))
            return
        self.went_on()
        self.text = text or self.text

    def _result(self, event: dict[str, Any]) -> None:
        self.text = words(event, "result") or self.text
        self.cost = amount(event, "total_cost_usd")
        # `usage` leaves out repeated requests; `modelUsage` has them all.
        self.tokens = None
        for used in part(event, "modelUsage").values():
            self.spend(
                input=count(used, "inputTokens"),
                output=count(used, "outputTokens"),
                cache_read=count(used, "cacheReadInputTokens"),
                cache_write=count(used, "cacheCreationInputTokens"),
            )
        for denied in listed(event, "permission_denials"):
            asked = part(denied, "tool_input")
            what = words(asked, "command") or words(asked, "file_path")
            self.deny(f"{words(denied, 'tool_name')}: {what}".removesuffix(": "))
        subtype = words(event, "subtype")
        status = count(event, "api_error_status")
        wrong = event.get("is_error") is True or status is not None
        if subtype in STOPPED_SHORT:
            self.claim = "partial"
            self.text = self.text or f"stopped: {words(event, 'terminal_reason') or subtype}"
            self.went_on()
        elif wrong or subtype != "success":
            self.claim = "failed"
            told = [str(line) for line in listed(event, "errors") if isinstance(line, str)]
            self.went_wrong(
                words(event, "result") or "; ".join(told) or subtype,
                status=status,
                service=words(event, "terminal_reason") == "api_error",
                retry_at=self.fault.retry_at if self.fault else None,
            )
        else:
            self.claim = "done"
            self.went_on()


def start(turn: Start) -> list[str]:
    """Behind a fence everything is allowed; without one only edits and Python are."""
    mode = (
        ["--permission-mode", "bypassPermissions"]
        if turn.fenced
        else ["--permission-mode", "acceptEdits", f"--allowedTools=Bash({turn.python} *)"]
    )
    return ["-p", "--output-format", "stream-json", "--verbose", *mode]


PROGRAM = Program(
    name="claude",
    executable="claude",
    start=start,
    reader=ClaudeReader,
    install="npm install --global @anthropic-ai/claude-code",
    sign_in="claude, then /login",
    login=(Login(".claude/.credentials.json", renewed=True),),
    settings=(".claude.json", ".claude/settings.json"),
    moved={
        ".claude.json": "$CLAUDE_CONFIG_DIR/.claude.json",
        ".claude": "$CLAUDE_CONFIG_DIR",
    },
    keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    titled=r"\d+\.\d+\S* \(Claude Code\)",
    flags=("--output-format", "--permission-mode", "--allowedTools", "--verbose"),
    env={
        "CLAUDE_CODE_MAX_RETRIES": "1",  # the harness waits; ten silent retries take minutes
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",  # bypassPermissions refuses root elsewhere
    },
)
