"""doctor: is everything there that a run needs? Each check says what was found and how to fix it.

Nothing is changed and nothing is imported from the product: the configured interpreter is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from orchestration.config import HarnessConfig, load_config
from orchestration.core import parse_selector
from orchestration.documents.ledger import Status, check_ledger, parse_ledger
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.git import Repo
from orchestration.sandbox import entries_below, pids, run_child
from orchestration.setup.behind import fence_rows, guard_rows
from orchestration.setup.check import Check, State
from orchestration.setup.probe import probe
from orchestration.setup.session import make_agent, make_reviewer, make_supervisor
from orchestration.views import read_events

MINIMUM_PYTHON = (3, 11)
MINIMUM_FREE_BYTES = 1 << 30
MINIMUM_STATE_BYTES = 16 << 20
MAX_KEPT_BYTES = 5 << 30
"""What the harness may keep below the git directory before doctor says how to clear it."""
CLEARING = {
    "turns": "find '{folder}' -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -r {{}} +",
    "workspaces": "orchestrate run (it ends what was interrupted), then look into {folder}",
    "checkouts": "orchestrate run --cycles 1 (a run begins with clearing them)",
}
"""What makes room: landed evidence is in the commits, attempts are on their branches."""
PROBE = """
import json, sys
found = {"version": list(sys.version_info[:3]), "executable": sys.executable, "pytest": None}
try:
    import pytest
    found["pytest"] = pytest.__version__
except ImportError:
    pass
print(json.dumps(found))
"""
"""What the configured interpreter is asked to run."""


def examine(
    root: Path,
    *,
    agent: str | None = None,
    supervisor: str | None = None,
    reviewer: str | None = None,
    ask: bool = True,
) -> list[Check]:
    """Return all checks of the repository around `root`, the most basic ones first.

    What depends on a failed check is left out: without a repository there is only one row. `ask`
    starts an agent's program once, which may cost, and runs the guards: a run does without.
    """
    try:
        repo = Repo(root)
    except HarnessError as problem:
        return [_failed("repository", problem)]
    checks = [Check("repository", "ok", str(repo.root)), _git(repo)]
    try:
        config = load_config(repo.root)
    except HarnessError as problem:
        return [*checks, _failed("orchestration.yaml", problem)]
    checks += [
        _configuration(repo),
        *_branch(repo, config),
        _names(repo),
        *_ledger(repo, config),
        _log(repo),
        *_interpreter(repo, config),
        *_agents(
            repo,
            config,
            agent or config.agent,
            supervisor or config.supervisor_agent,
            reviewer or config.reviewer_agent,
            ask,
        ),
        *_variables(config),
        *_budgets(
            config,
            agent or config.agent,
            supervisor or config.supervisor_agent,
            reviewer or config.reviewer_agent,
        ),
        *fence_rows(config),
        *(guard_rows(repo, config) if ask else ()),
        _disk(repo),
        _retention(repo),
    ]
    return checks


def _failed(name: str, problem: HarnessError) -> Check:
    details = ": ".join(str(part) for part in (problem.what, problem.got) if part)
    return Check(name, "fail", details, problem.fix or "")


def _git(repo: Repo) -> Check:
    program = shutil.which("git")
    if program is None:
        return Check("git", "fail", "not found on PATH", "install git")
    return Check("git", "ok", repo.text("--version"))


def _configuration(repo: Repo) -> Check:
    if (repo.root / "orchestration.yaml").exists():
        return Check("orchestration.yaml", "ok", "read; every key is known")
    return Check("orchestration.yaml", "warn", "missing; defaults apply", "orchestrate init")


def _branch(repo: Repo, config: HarnessConfig) -> list[Check]:
    try:
        repo.head()
    except HarnessError as problem:
        return [_failed("first commit", problem)]
    branch = config.target or repo.branch()
    if branch is None:
        fix = "git switch a branch, or set `target:` in orchestration.yaml"
        return [Check("target branch", "fail", "HEAD is detached", fix)]
    if repo.try_resolve(f"refs/heads/{branch}") is None:
        return [Check("target branch", "fail", f"{branch} does not exist", f"git branch {branch}")]
    checks = [Check("target branch", "ok", branch)]
    if repo.is_dirty():
        words = "uncommitted changes are left alone; a landing that overlaps them waits"
        checks.append(Check("working tree", "warn", words))
    return checks


def _names(repo: Repo) -> Check:
    """A branch `orchestration` would make every `orchestration/…` ref impossible."""
    if repo.try_resolve("refs/heads/orchestration") is not None:
        found = "a branch named `orchestration` is in the way of orchestration/log"
        return Check("ref names", "fail", found, "git branch -m orchestration orchestration-old")
    return Check("ref names", "ok", "orchestration/… is free")


def _ledger(repo: Repo, config: HarnessConfig) -> list[Check]:
    head = repo.try_resolve("HEAD")
    if head is None or not repo.exists_in(head, config.ledger):
        there = (repo.root / config.ledger).exists()
        fix = "orchestrate run --commit" if there else "orchestrate init"
        return [Check("ledger", "fail", f"{config.ledger} is not committed", fix)]
    ledger = parse_ledger(repo.read_blob(head, config.ledger).decode("utf-8", "replace"))
    errors = [d for d in check_ledger(ledger) if d.severity == "error"]
    if errors:
        fix = f"orchestrate validate {config.ledger}"
        return [Check("ledger", "fail", f"{len(errors)} errors; {errors[0].render()}", fix)]
    checks = [Check("ledger", "ok", f"{config.ledger} read; items: {len(ledger.items)}")]
    if repo.run("diff", "--quiet", "HEAD", "--", config.ledger, check=False).status == 1:
        found = f"{config.ledger} in your checkout differs from the committed one, which is read"
        checks.append(Check("ledger", "warn", found, "orchestrate run --commit (or git commit it)"))
    for item in ledger.items:
        ignored = parse_selector(item.guard or "").ignored
        if ignored and item.status not in (Status.DONE, Status.DROPPED):
            found = f"{config.ledger}:{item.line}: {item.id}: {' '.join(ignored)} in its Guard"
            fix = "remove it; a guard is files, node ids, -k and -m (options: `plugins:`)"
            checks.append(Check("guard", "warn", f"{found} means nothing", fix))
    return checks


def _log(repo: Repo) -> Check:
    try:
        events = read_events(repo)
    except HarnessError as problem:
        return _failed("event log", problem)
    return Check("event log", "ok", f"{len(events)} events, chain unbroken")


def _interpreter(repo: Repo, config: HarnessConfig) -> list[Check]:
    fix = "set `python:` in orchestration.yaml to an interpreter with pytest"
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = run_child([config.python, "-c", PROBE], repo.root, env, total_s=60)
        found = json.loads(done.output_tail.strip().rpartition("\n")[2])
    except (HarnessError, ValueError) as error:
        return [Check("interpreter", "fail", f"{config.python}: {error}", fix)]
    version = tuple(found["version"])
    words = ".".join(map(str, version))
    state: State = "ok" if version >= MINIMUM_PYTHON else "fail"
    checks = [
        Check(
            "interpreter", state, f"Python {words} at {config.python}", "" if state == "ok" else fix
        )
    ]
    if found["pytest"] is None:
        checks.append(
            Check(
                "pytest", "fail", "not importable there", f"{config.python} -m pip install pytest"
            )
        )
    else:
        checks.append(Check("pytest", "ok", found["pytest"]))
    return [*checks, _roots(repo, config)]


def _roots(repo: Repo, config: HarnessConfig) -> Check:
    missing = [name for name in config.import_roots if not (repo.root / name).is_dir()]
    if missing:
        fix = "correct `import_roots:` in orchestration.yaml"
        return Check("import roots", "fail", f"no such folder: {', '.join(missing)}", fix)
    return Check("import roots", "ok", ", ".join(config.import_roots))


def _agents(
    repo: Repo,
    config: HarnessConfig,
    agent: str,
    supervisor: str | None,
    reviewer: str | None,
    ask: bool,
) -> list[Check]:
    """The rows of the worker, and of supervisor and reviewer where they are other programs."""
    checks: list[Check] = []
    others = (("supervisor", supervisor, make_supervisor), ("reviewer", reviewer, make_reviewer))
    for role, name, make in (("agent", agent, None), *others):
        try:
            made = make_agent(agent, config) if make is None else make(name, config)
        except HarnessError as problem:
            checks.append(_failed(role, problem))
            continue
        if made is not None:
            same = role != "agent" and made.name == agent != "custom"
            checks += (
                [Check(role, "ok", made.name)] if same else probe(repo, config, made, role, ask)
            )
    return checks


def _variables(config: HarnessConfig) -> list[Check]:
    """What `agent_env:` names: what is not set, and what is no secret that could be looked for."""
    unset = [name for name in config.agent_env if not os.environ.get(name)]
    open_ = [
        name
        for name in config.agent_env
        if os.environ.get(name) and not secrets.values_of({name: os.environ[name]})
    ]
    checks = []
    if unset:
        fix = f"export {unset[0]}=…, or take it out of `agent_env:`"
        checks.append(Check("agent_env", "warn", f"not set here: {', '.join(unset)}", fix))
    if open_:
        words = "taken for no secret, so no landing, log or page hides it (shorter than "
        words += f"{secrets.MIN_VALUE} characters, a number, a path, a URL): {', '.join(open_)}"
        checks.append(Check("agent_env", "ok", words))
    return checks


def _budgets(
    config: HarnessConfig, agent: str, supervisor: str | None, reviewer: str | None
) -> list[Check]:
    """Limits that cannot take effect: of what no agent reports, or nothing here can hold."""
    checks = []
    roles = (
        ("agent", lambda: make_agent(agent, config)),
        ("supervisor", lambda: make_supervisor(supervisor, config)),
        ("reviewer", lambda: make_reviewer(reviewer, config)),
    )
    for limit in ("money", "tokens"):
        if getattr(config.budgets, limit) is None:
            continue
        for role, make in roles:
            try:
                made = make()
            except HarnessError:
                continue  # told in a row of its own
            if made is not None and limit in getattr(made, "unreported", ()):
                found = f"budgets.{limit} can never take effect: the {role} {made.name} reports "
                found += f"no {'cost' if limit == 'money' else 'tokens'}"
                fix = f"take `{limit}:` out of `budgets:` and set `agent_s:` (measured here)"
                checks.append(Check("budgets", "fail", found, fix))
    if config.max_processes != pids.MAX_PROCESSES and pids.kind() == "none":
        found = "max_processes cannot be held: no control group and no limit that binds this user"
        fix = "take `max_processes:` out, or run where a cgroup with pids can be made"
        checks.append(Check("max_processes", "fail", found, fix))
    return checks


def _disk(repo: Repo) -> Check:
    free = shutil.disk_usage(repo.common_dir).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free < MINIMUM_FREE_BYTES:
        return Check("disk", "fail", found, "free at least 1 GiB")
    state = repo.state_dir
    while not state.exists():
        state = state.parent
    own = shutil.disk_usage(state).free
    if own < MINIMUM_STATE_BYTES:
        found = f"{own / (1 << 20):.0f} MiB free for the harness's own folder, {repo.state_dir}"
        return Check("disk", "fail", found, "make room there, or name another with `state_dir:`")
    return Check("disk", "ok", found)


def _retention(repo: Repo) -> Check:
    """How much of the disk logs, evidence and attempts of all turns hold."""
    sizes = {name: _bytes_below(repo.state_dir / name) for name in ("log", *CLEARING)}
    parts = ", ".join(f"{name} {size / (1 << 20):.1f}" for name, size in sizes.items())
    found = f"{sum(sizes.values()) / (1 << 20):.1f} MiB in {repo.state_dir} ({parts})"
    if sum(sizes.values()) <= MAX_KEPT_BYTES:
        return Check("retention", "ok", found)
    largest = max(CLEARING, key=lambda name: sizes[name])
    return Check(
        "retention", "warn", found, CLEARING[largest].format(folder=repo.state_dir / largest)
    )


def _bytes_below(folder: Path) -> int:
    """The disk space of all files below a folder; what vanishes meanwhile counts for nothing."""
    total = 0
    for entry in entries_below(folder):
        with contextlib.suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
