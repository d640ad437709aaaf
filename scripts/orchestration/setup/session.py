"""Opening a repository for work: the parts of a Harness put together from its configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestration.agents import Agent, get_agent
from orchestration.config import HarnessConfig, load_config
from orchestration.core import Clock
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.git import Repo, upstream_of
from orchestration.harness import Harness, SystemClock, target_of
from orchestration.log import Activity, EventLog
from orchestration.turns import AgentReviewer

Hook = Callable[[str, object], None]


BUILT_IN_SUPERVISORS = ("built-in", "playbook")
"""Names that mean the built-in rules: the playbook agent carries recipes out and plans nothing."""


def make_supervisor(name: str | None, config: HarnessConfig) -> Agent | None:
    """Who writes the orders: None for the built-in rules; unknown names are HarnessErrors."""
    if name is None or name in BUILT_IN_SUPERVISORS:
        return None
    if name == "custom" and config.supervisor_command:
        return get_agent(name, command=list(config.supervisor_command), python=config.python)
    return _beside(name, config)


def make_reviewer(name: str | None, config: HarnessConfig) -> Agent | None:
    """Who reviews: None for a person alone; unknown names, and the playbook, are HarnessErrors."""
    if name is None:
        return None
    if name == "playbook":
        raise HarnessError(
            "the playbook agent carries recipes out and reviews nothing",
            got=name,
            fix="name an agent program, or leave `reviewer_agent:` out: a person reviews then",
        )
    if name == "custom" and config.reviewer_command:
        return get_agent(name, command=list(config.reviewer_command), python=config.python)
    return _beside(name, config)


def _beside(name: str, config: HarnessConfig) -> Agent:
    """An agent in another role: `agent_args:` are the worker's, so another program has none."""
    known = config.agent not in (name, "playbook", "custom")
    return make_agent(name, replace(config, agent_args=()) if known else config)


def make_agent(name: str, config: HarnessConfig) -> Agent:
    """The agent of that name with its settings from the configuration."""
    if name == "playbook":
        return get_agent(name, python=config.python)
    if name == "custom":
        return get_agent(name, command=list(config.agent_command), python=config.python)
    return get_agent(name, args=config.agent_args, python=config.python, person=os.environ)


def _watched(harness: Harness) -> None:
    """Note what is said and what goes on for those who watch."""
    loud, activity = (
        harness.say,
        Activity(
            harness.repo.state_dir,
            harness.clock,
            lambda text: secrets.redact(text, harness.secret_values()),
        ),
    )

    def say(text: str) -> None:
        loud(text)
        activity.said(text, harness.state.turn)

    harness.say, harness.activity = say, activity


def open_harness(
    path: Path | str = ".",
    *,
    agent: str | Agent | None = None,
    supervisor: str | Agent | None = None,
    reviewer: str | Agent | None = None,
    cycles: int | None = None,
    say: Callable[[str], None] = lambda text: None,
    watched: bool = True,
    clock: Clock | None = None,
    hook: Hook | None = None,
    extra_env: Mapping[str, str] | None = None,
) -> Harness:
    """Open the repository around `path`; raises HarnessError for what a person must fix."""
    repo = Repo(path)
    config = load_config(repo.root)
    chosen = config.agent if agent is None else agent
    worker = make_agent(chosen, config) if isinstance(chosen, str) else chosen
    planner = config.supervisor_agent if supervisor is None else supervisor
    clock = clock or SystemClock()
    log = EventLog(repo.state_dir, clock, hook=hook)
    deterministic = worker.name == "playbook"
    target = target_of(repo, config)
    harness = Harness(
        repo=repo,
        config=config,
        log=log,
        clock=clock,
        agent=worker,
        target=target,
        upstream=upstream_of(repo, target),
        say=say,
        policy=config.policy(deterministic=deterministic, cycles=cycles),
        extra_env=extra_env or {},
        supervisor=make_supervisor(planner, config)
        if planner is None or isinstance(planner, str)
        else planner,
    )
    if watched:  # else nothing is written: a dry run only looks
        _watched(harness)
    judge = config.reviewer_agent if reviewer is None else reviewer
    asked = make_reviewer(judge, config) if judge is None or isinstance(judge, str) else judge
    if asked is not None:
        harness.reviewer = AgentReviewer(harness, asked)
    return harness
