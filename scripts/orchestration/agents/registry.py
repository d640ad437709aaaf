"""Agents by name. A name nobody knows is an error, never a default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from orchestration.agents.base import Agent
from orchestration.agents.programs import ProgramAgent
from orchestration.errors import HarnessError

PROGRAMS = ("aider", "claude", "codex", "gemini", "opencode")
"""Programs with an adapter of their own."""
# name -> "module:class"; adapters are imported when asked for, so a broken one hurts nobody else.
BUILT_IN: dict[str, str] = {
    "playbook": "orchestration.agents.playbook:PlaybookAgent",
    "custom": "orchestration.agents.custom:CustomAgent",
    **{name: f"orchestration.agents.{name}:PROGRAM" for name in PROGRAMS},
}


def names() -> list[str]:
    """Known agent names."""
    return sorted(BUILT_IN)


def get_agent(name: str, **options: object) -> Agent:
    """The agent `name`, made with `options` (an adapter's own settings from the configuration).

    Raises HarnessError for an unknown name or an option the agent does not have.
    """
    target = BUILT_IN.get(name)
    if target is None:
        raise HarnessError(
            f"no agent is named {name!r}",
            expected=", ".join(names()),
            got=name,
            fix="use --agent custom with a command of your own, or one of the names above",
        )
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    make: Callable[..., Agent] = partial(ProgramAgent, found) if name in PROGRAMS else found
    return _made(name, make, options)


def _made(name: str, make: Callable[..., Agent], options: Mapping[str, object]) -> Agent:
    try:
        return make(**options)
    except TypeError as problem:
        raise HarnessError(
            f"agent {name} does not take these settings",
            got=", ".join(sorted(options)) or "none",
            expected=str(problem),
            fix="look at `agents:` in orchestration.yaml",
        ) from problem
