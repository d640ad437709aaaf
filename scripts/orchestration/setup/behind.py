"""doctor: the level of the fence, what it covers and what not, and guards that need more of it.

Each open guard is run in a fresh checkout behind the fence; one that is red there and green without
a fence misses something, and the paths that its output names are told with the key that opens them.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from orchestration.config import HarnessConfig
from orchestration.core import of_pytest_command, parse_selector
from orchestration.documents.ledger import Status, parse_ledger
from orchestration.errors import HarnessError
from orchestration.gates import GuardSpec, run_guard
from orchestration.git import Repo
from orchestration.sandbox import FILE_FENCES, Opened, available, choose, run_child, sees
from orchestration.setup.check import Check, State
from orchestration.turns import (
    build_of,
    collect_from,
    export,
    fault_of,
    furnish,
    remove_checkout,
    spec_of,
)

COVERS = {
    "bwrap": "only what is named can be read, only its own written; nothing outlives a turn",
    "kernel": "only what is named can be read, only its own written; nothing outlives a turn",
    "landlock": "only what is named can be read or written; modes and times of files are open",
    "pidns": "nothing outlives a turn; every file that you can read or write is open",
    "scan": "every file that you can read or write is open; what outlives a turn is looked for",
}
_PATH = re.compile(r"(?<![\w.~/-])(~?/[\w.@+=,~-]+(?:/[\w.@+=,~-]+)*)")
_OWN_HOME = re.compile(r"/tmp/guard-\w+/home/")
_MODULE = re.compile(r"No module named '([\w.]+)'")
_WHERE = """
import importlib.util, json, sys
def place(name):
    try:
        spec = importlib.util.find_spec(name)
    except Exception:
        return None
    return spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
print(json.dumps([place(name) for name in sys.argv[1:]]))
"""


def fence_rows(config: HarnessConfig) -> list[Check]:
    """The level that agents run behind, what it covers, and what stays open."""
    try:
        level = choose(config.isolation, agent=True)
    except HarnessError as problem:
        got = ": ".join(str(part) for part in (problem.what, problem.got) if part)
        return [Check("isolation", "warn", got, problem.fix or "")]
    fix = "" if level in FILE_FENCES else "take `isolation:` out, or install bubblewrap"
    state = "ok" if level in FILE_FENCES else "warn"
    found = f"{level}: {COVERS[level]} (here: {', '.join(available())})"
    closed = level in ("bwrap", "kernel")
    rows = []
    if config.network or not closed:
        rows.append("agents reach the network, and can send what they may read")
    if config.guard_network or not closed:
        rows.append("guards and checks reach the network")
    named = {
        "agents": (*config.agent_read, *config.agent_write),
        "guards": (*config.guard_read, *config.guard_write),
    }
    rows += [f"{who} also reach {', '.join(places)}" for who, places in named.items() if places]
    told = "; ".join(rows) or "nothing that is named here"
    return [Check("isolation", state, found, fix), Check("fence leaves open", "ok", told)]  # type: ignore[arg-type]


def guard_rows(repo: Repo, config: HarnessConfig) -> list[Check]:
    """What `prepare:` makes, and a row for each guard and `pytest` criterion of an open item.

    Each is collected in a fresh checkout exactly as a run does it, and pytest's own reason is told
    where it cannot be; a guard is also run, to see whether the fence changes its outcome.
    """
    head = repo.try_resolve("HEAD")
    if head is None or not repo.exists_in(head, config.ledger):
        return []
    rows = []
    if config.prepare:
        try:
            build_of(repo, config, repo.tree_of(head), head, trusted=True)
            rows.append(Check("prepare", "ok", "; ".join(config.prepare)))
        except HarnessError as problem:
            found = f"{problem.what}: {problem.got}"
            return [Check("prepare", "fail", found, f"{problem.fix}; its output: {problem.where}")]
    ledger = parse_ledger(repo.read_blob(head, config.ledger).decode("utf-8", "replace"))
    over = (Status.DONE, Status.DROPPED)
    items = [item for item in ledger.items if item.status not in over]
    guards = dict.fromkeys(item.guard for item in items if item.guard)
    commands = [c.command for item in items for c in item.criteria if c.open and c.command]
    asked = [str(one) for c in commands if (one := of_pytest_command(c.argv))]
    for guard in [*guards, *dict.fromkeys(one for one in asked if one not in guards)]:
        try:
            rows.append(_look_at(repo, config, head, guard, run=guard in guards))
        except HarnessError as problem:
            found = ": ".join(str(part) for part in (guard, problem.what, problem.got) if part)
            rows.append(Check("guard in the fence", "warn", found, problem.fix or ""))
    return rows


def _look_at(repo: Repo, config: HarnessConfig, head: str, guard: str, *, run: bool) -> Check:
    checkout = export(repo, repo.tree_of(head), head=head)
    try:
        furnish(repo, config, checkout, head)
        known = collect_from(spec_of(config, checkout, selector=guard))
        if not known.ids:
            paths = parse_selector(guard).paths
            absent = [name for name in paths if not (checkout / name).exists()]
            if absent:
                words = f"{guard}: {', '.join(absent)} is not there yet; an order must create it"
                return Check("guard", "warn", words)
            why = known.because or "no test of that name"
            said = {guard: "\n".join(known.problems)}
            fix = fault_of(repo, config, head, said, [guard])
            state: State = "fail" if fix or not known.names else "warn"
            fix = fix or "correct the Guard, or what its file needs (`orchestrate validate`)"
            return Check(
                "guard", state, f"{guard} collects nothing in a fresh checkout: {why}", fix
            )
        if not run or choose(config.isolation) not in FILE_FENCES:
            return Check("guard", "ok", f"{guard}: {len(known.ids)} collected in a fresh checkout")
        return _compare(config, checkout, guard)
    finally:
        remove_checkout(repo, checkout)


def _compare(config: HarnessConfig, checkout: Path, guard: str) -> Check:
    name = "guard in the fence"
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        log = Path(folder) / "guard.log"
        spec = spec_of(config, checkout, selector=guard, log_path=log)
        inside = run_guard(spec)
        if inside.passed:
            found = f"{guard}: {inside.counted} behind {inside.isolation}"
            lost = ", ".join(inside.dropped)
            found += f"; settings that no loaded plugin registers: {lost}" if lost else ""
            return Check(name, "ok", found)
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        said += "\n".join(inside.messages.values())
        outside = run_guard(_unfenced(spec))
    if (inside.verdict, inside.nodes) == (outside.verdict, outside.nodes):
        because = f" ({inside.because})" if inside.because else ""
        if inside.dropped:
            because += f"; settings that no loaded plugin registers: {', '.join(inside.dropped)}"
        found = f"{guard}: {inside.counted}, the same without a fence{because}"
        return Check(name, "ok", found)
    found = (
        f"{guard}: {inside.counted} behind {inside.isolation}, {outside.counted} without a fence"
    )
    own = checkout.resolve()
    missing = [one for one in _missing(said, config) if not Path(one).is_relative_to(own)]
    if missing:
        fix = f"guard_read: [{', '.join(missing)}]"
        return Check(name, "warn", f"{found}; not in the fence: {', '.join(missing)}", fix)
    return Check(
        name, "warn", found, "`guard_read:`, `guard_network: on`, or make the test private"
    )


def _unfenced(spec: GuardSpec) -> GuardSpec:
    home = {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}
    return replace(spec, isolation="scan", opened=Opened(), log_path=None, env={**spec.env, **home})


def _missing(said: str, config: HarnessConfig) -> list[str]:
    """Paths in an output that are there and that the fence does not show; modules' places too."""
    named = set(_PATH.findall(said))
    # The guard's HOME is another: what it looked for there may be in the person's.
    named |= {"~" + path.split("/home", 1)[1] for path in named if _OWN_HOME.match(path)}
    modules = sorted({name.split(".")[0] for name in _MODULE.findall(said)})
    if modules:
        words = [config.python, "-c", _WHERE, *modules]
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = run_child(words, "/", env, total_s=60)
        if done.ok:
            places = [place for place in json.loads(done.output_tail) if place]
            named |= {os.path.dirname(p) if p.endswith(".py") else p for p in places}
    real = {os.path.realpath(os.path.expanduser(path)) for path in named}
    there = {path for path in real if os.path.exists(path) and path.count("/") > 1}
    return sorted(p for p in there if not sees(p, config.python, config.for_guards()))
