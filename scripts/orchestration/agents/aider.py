"""aider: a text for a person. It exits with 0 even where it could not sign in.

That a model answered is told by its line of tokens; without one nothing was done.
"""

from __future__ import annotations

import re

from orchestration.agents.programs import Login, Program, Start
from orchestration.agents.readers import MAX_TEXT, Reader, clean

_USED = re.compile(
    r"Tokens: (?P<sent>[\d.,]{1,12}[kM]?) sent, "
    r"(?:(?P<write>[\d.,]{1,12}[kM]?) cache write, )?(?:(?P<hit>[\d.,]{1,12}[kM]?) cache hit, )?"
    r"(?P<received>[\d.,]{1,12}[kM]?) received\."
)
_COST = re.compile(r"Cost: \$(\d{1,9}(?:\.\d{1,12})?) message")
_ERROR = re.compile(r"^(?:litellm\.\w*(?:Error|Exception|Timeout)|The API provider|Retrying in )")
_SCALE = {"k": 1e3, "M": 1e6}


class AiderReader(Reader):
    """Its text. Numbers of tokens above a thousand are rounded by it."""

    def line(self, text: str) -> bool:
        """Take one line of text."""
        text = clean(text[:MAX_TEXT]).strip()
        if not text:
            return False
        if used := _USED.search(text):
            self.events += 1
            self.spend(
                input=_number(used["sent"]),
                output=_number(used["received"]),
                cache_read=_number(used["hit"]),
                cache_write=_number(used["write"]),
            )
            if cost := _COST.search(text):
                self.cost = (self.cost or 0.0) + float(cost[1])
            self.claim = "done"
            self.went_on()
        elif _ERROR.match(text):
            self.events += 1
            self._wrong(text)
        else:
            self.beside(text)
            self.text = (self.text + text + "\n")[-MAX_TEXT:]
        return False

    def _wrong(self, text: str) -> None:
        self.claim = "failed"
        if text.startswith("Retrying in ") and self.fault is not None:
            self.went_wrong(f"{self.fault.text}; {text}")
        elif not text.startswith("Retrying in ") and (
            self.fault is None or text.startswith("litellm.")
        ):
            self.went_wrong(text)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(float(text.rstrip("kM").replace(",", "")) * _SCALE.get(text[-1], 1.0))
    except ValueError:
        return None


def start(turn: Start) -> list[str]:
    """The prompt is a file; the task's files are named, since it edits no others unasked."""
    named = [f"--file={path}" for path in turn.files]
    rules = ["--read=AGENTS.md"] if (turn.workspace / "AGENTS.md").is_file() else []
    return [
        f"--message-file={turn.brief}", "--yes-always", "--no-auto-commits", "--no-dirty-commits",
        "--no-gitignore", "--no-stream", "--no-pretty", "--no-check-update",
        "--no-show-release-notes", "--no-show-model-warnings", "--no-auto-test",
        "--no-suggest-shell-commands",
        f"--chat-history-file={turn.home}/chat.md", f"--input-history-file={turn.home}/input",
        *rules, *named,
    ]  # fmt: skip


PROGRAM = Program(
    name="aider",
    executable="aider",
    start=start,
    prompt="file",
    reader=AiderReader,
    install="python -m pip install aider-chat (in an environment of its own)",
    sign_in="put the provider's key into the environment and its name into agent_env:",
    login=(Login(".aider/oauth-keys.env"),),
    settings=(".aider.conf.yml", ".aider.model.settings.yml", ".aider.model.metadata.json"),
    keys=(
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "OPENROUTER_API_KEY",
        "GEMINI_API_KEY",
        "DEEPSEEK_API_KEY",
        "AIDER_OPENAI_API_KEY",
        "AIDER_ANTHROPIC_API_KEY",
    ),
    titled=r"aider v?\d+\.\d+\S*",
    flags=("--message-file", "--yes-always", "--no-auto-commits", "--no-gitignore", "--file"),
    env={"AIDER_ANALYTICS": "false", "AIDER_CHECK_UPDATE": "false"},
)
