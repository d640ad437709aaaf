"""Verify: what the harness measures about an attempt, from its snapshot alone.

The order of the gates: did anything happen at all, did the agent touch what is not its own, is it
the same change as before; then the guard (red on the base first, green on the attempt), then the
criteria's commands in a fresh checkout. The result is the data of the `verdict` event; running it
again after a kill gives the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from orchestration.agents import last_words
from orchestration.core import ItemState, matches, of_pytest_command, parse_selector, payloads
from orchestration.documents.grammar import Command
from orchestration.documents.ledger import Criterion
from orchestration.documents.order import Order
from orchestration.errors import HarnessError
from orchestration.gates import (
    GuardResult,
    GuardSpec,
    Watch,
    black_out,
    finding,
    interpreter,
    none_passed,
    run_guard,
    run_twice,
    scope,
    screen,
    secrets,
    touched_lines,
    unexplained,
)
from orchestration.git import import_files
from orchestration.harness import OF_TURNS
from orchestration.sandbox import fence as isolation
from orchestration.sandbox import interpreter as installed
from orchestration.sandbox import own_folders, run_child, scratch
from orchestration.turns import held_out, outside, trusted
from orchestration.turns.case import Case, Findings
from orchestration.turns.checkouts import Collected, collect_in, fault_of, furnish, guard_spec
from orchestration.turns.prepared import PrepareFailed
from orchestration.turns.workspace import compose, export, lay_over, remove_checkout


def judge_attempt(case: Case) -> Findings:
    """Run all gates on a case and return what was found; never raises for a bad attempt."""
    found, harness = case.found, case.harness
    if harness.tip().sha != case.base:
        found.turn_down("stale", "the branch moved while the attempt ran", "")
        return found
    _judge(case)
    if found.verdict != "land" and case.exit.left_out:
        names = ", ".join(case.exit.left_out[:5])
        found.reason += f"; not taken from the workspace, since git ignores it: {names}"
    return found


def _judge(case: Case) -> None:
    found, harness = case.found, case.harness
    _look_at_outcome(case)
    if not found.verdict:
        _look_at_diff(case)
    if not found.verdict:
        _run_attempt(case)
    if not found.verdict:
        trusted.look_at_reading(case)
    if not found.verdict:
        _decide(case)
    if found.verdict == "land":
        _run_held_out(case)
    if found.verdict == "land" and found.flags:
        more = f" and {len(found.flags) - 1} more" if len(found.flags) > 1 else ""
        found.verdict, found.reason = "held", f"a reviewer must answer: {found.flags[0]}{more}"
    if found.verdict == "land" and harness.tip().sha != case.base:
        found.verdict, found.reason = "stale", "the branch moved while the attempt was verified"
        found.verified, found.ticks = [], []
    if case.exit.clock and "clock)" not in found.reason:
        found.reason += f"; the {case.exit.clock} clock ended the program"


def _run_attempt(case: Case) -> None:
    """Everything that executes code of the attempt."""
    found, harness = case.found, case.harness
    with outside.told(harness):
        try:
            _run_guards(case)
            if not found.verdict:
                _run_criteria(case)
        except PrepareFailed as problem:
            words = f"`prepare:` fails on the attempt: {problem.what}: {problem.got}"
            found.turn_down("reject", words, f"prepare: {problem.what}", problem.what)
    leaks = [*case.exit.leaks, *map(str, black_out(case.report, harness.secret_values()))]
    found.reason = secrets.redact(found.reason, harness.secret_values())
    if leaks:
        found.verified, found.ticks = [], []
        found.turn_down("reject", f"a log of the turn shows {leaks[0]}", "secret in a log")


def _look_at_outcome(case: Case) -> None:
    ended, found = case.exit, case.found
    said = last_words(ended.text, 300)
    # A program that falls silent after its work, perhaps at the very end, and one that has given
    # its report: the work is measured.
    silent = ended.outcome == "timeout" and ended.clock == "idle" and bool(ended.changed)
    silent = silent or ended.reported in ("done", "partial")
    if ended.tamper:
        found.turn_down("tamper", ended.tamper, "tamper")
    elif ended.unread:
        found.turn_down("reject", ended.unread, "unread: " + ended.unread[:80])
    elif ended.outcome in ("blocked", "refused"):
        found.turn_down("blocked", f"the agent is {ended.outcome}: {said}", f"blocked: {said}")
    elif ended.outcome in ("crash", "timeout") and not silent:
        clock = f" (its {ended.clock} clock)" if ended.clock else ""
        found.turn_down(
            "reject",
            f"the agent ended with {ended.outcome}{clock}: {said}",
            f"{ended.outcome}: exit {ended.exit_code} signal {ended.signal}",
        )


def _look_at_diff(case: Case) -> None:
    harness, found, changed = case.harness, case.found, case.exit.changed
    found.classes = {kind: list(paths) for kind, paths in scope.classify(changed).items() if paths}
    if not changed:
        return
    found.patch = harness.repo.patch_id(case.base, case.commit)
    known = harness.state.items.get(case.item.id, ItemState())
    if found.patch and found.patch in known.failed_patches:
        found.halt = "an attempt made the same change as one that had failed"
        found.turn_down("reject", found.halt, "same patch")
        return
    limits = scope.check(
        changed,
        may_edit=(*case.may_edit, *known.approved),
        new=case.new_tests,
        forbidden=_forbidden(case.order),
        protected=(*harness.config.protected, *case.guard_files),
    )
    if not limits.ok:
        found.turn_down("reject", "out of scope: " + "; ".join(limits.violations[:5]), "scope")
        return
    screened = screen(
        harness.repo,
        case.base,
        case.commit,
        changed,
        may_edit=(*case.may_edit, *known.approved),
        new=case.new_tests,
        import_roots=harness.config.import_roots,
        guard=_guard_ids(case),
        secret=harness.secret_values(),
        named=[*trusted.named(case), *trusted.asked_for(case)],
    )
    if screened.reason:
        found.turn_down("reject", screened.reason, "screening")
    case.suspect(
        flag for flag in screened.flags if not (flag.person and matches(flag.path, known.approved))
    )


def _guard_ids(case: Case) -> list[str]:
    """The tests that judge the attempt: their names and values must not be in product code.

    Nothing of the attempt has been screened yet, so nothing is collected for this.
    """
    selector = str(case.item.guard or "")
    found = case.ids.get(selector)
    return list(found.ids if found else ()) or list(parse_selector(selector).nodes)


def _forbidden(order: Order) -> tuple[str, ...]:
    """The entries of `## Forbidden` that are paths (the rest is prose for the agent)."""
    words = [str(entry).strip().strip("`- ").split(" ")[0] for entry in order.forbidden]
    return tuple(word for word in words if "/" in word or "." in word or "*" in word)


def _run_guards(case: Case) -> None:
    selector = case.item.guard or (case.order.selector if case.order.selector != "none" else None)
    if not selector:
        return
    harness, found = case.harness, case.found
    red = None
    if case.exit.changed and case.mode == "TDD":
        harness.say(f"guard on the base (must be red): {selector}")
        red = run_selector(case, str(selector), on_base=True)
        found.guard["base"] = red.side()
        harness.say(f"guard on the base: {red.verdict} ({red.reason or red.counted})")
        fault = _environment_fault(case, red)
        if fault:
            found.turn_down(
                "blocked",
                f"the guard is red on the base by its environment, which is not red: {fault}",
                f"environment: {fault}",
                f"pytest {selector}",
            )
            return
        if red.verdict != "fail":
            found.turn_down(
                "reject",
                f"the guard is {red.verdict} on the base, and must fail there: {red.reason}",
                f"guard on base: {red.verdict}",
                f"pytest {selector}",
            )
            return
        _look_at_red(case, red)
    harness.say(f"guard on the attempt: {selector}")
    green = run_selector(case, str(selector), on_base=False)
    found.guard["attempt"] = green.side()
    harness.say(f"guard on the attempt: {green.verdict} ({green.counted})")
    unseen = finding(green.coverage)
    if unseen:
        harness.say(f"guard on the attempt: {unseen}")
    if green.verdict == "tampered":
        found.turn_down("reject", f"guard: {green.reason}", "guard tampered")
    elif not green.passed:
        because = f": {green.because}" if green.because else ""
        if green.dropped:
            because += f" (settings that no loaded plugin registers: {', '.join(green.dropped)})"
        log = f" (log: {_place(case, green.log_path)})" if green.log_path else ""
        found.turn_down(
            "reject",
            f"the guard is {green.verdict}: {green.reason}{because}{log}",
            f"guard {green.verdict}: {' '.join(green.red[:5])}",
            f"pytest {selector}",
        )
    elif red is not None or not case.item.criteria:
        found.verified.append("guard")


def _look_at_red(case: Case, red: GuardResult) -> None:
    """A test that the attempt wrote may be red on the base by its own doing: that shows nothing."""
    mine = {path for path in case.exit.changed if matches(path, (*case.new_tests, *case.may_edit))}
    trees = (case.harness.repo.list_tree(rev) for rev in (case.base, case.commit))
    places = [PurePosixPath(path) for tree in trees for path in tree if path.endswith(".py")]
    roots = [PurePosixPath(root) for root in case.harness.config.import_roots]
    inside = [p.relative_to(r) for p in places for r in roots if p.is_relative_to(r)]
    products = {path.parts[0].removesuffix(".py") for path in inside}
    for node, words in unexplained(red, mine.__contains__, products):
        said = f"{node.partition('::')[2]} is red on the base by neither an assertion nor something"
        said += f" that is not there yet: {words}"
        case.suspect([payloads.Flag("T14", node.partition("::")[0], 0, said)])


def _place(case: Case, log: Path) -> str:
    """Where a log is, in the words of a report: without the machine's own folders."""
    return f"{log.relative_to(case.report).as_posix()}; orchestrate show {case.harness.state.turn}"


def _environment_fault(case: Case, red: GuardResult) -> str:
    """Why the guard cannot be green here whatever the code is; "" where an order creates code."""
    if red.verdict != "fail" or case.new_tests or any(task.creates for task in case.order.tasks):
        return ""
    harness = case.harness
    return fault_of(harness.repo, harness.config, case.base, red.messages, red.red)


def run_selector(case: Case, selector: str, *, on_base: bool) -> GuardResult:
    """Run the exact tests that the trusted commit collects for a selector, on one side."""
    harness, repo = case.harness, case.harness.repo
    if not on_base and selector in case.green:
        return case.green[selector]
    ids = _collect_on_base(case, selector)
    if not ids.names:
        because = f": {ids.because}" if ids.because else ""
        return GuardResult("not-run", f"{selector} collects nothing{because}")
    log = "red/guard_base.log" if on_base else f"green/guard_attempt_{len(case.green) + 1}.log"
    tree = _base_tree(case) if on_base else _tested_tree(case)
    names = ids.names
    if not on_base and _unread(case):
        names = _with_parameters(
            names, collect_in(harness, tree, case.commit, selector, base=case.base).ids
        )
    spec = guard_spec(
        harness,
        Path(),
        node_ids=names,
        log_path=case.report / log,
        touched={} if on_base else touched_lines(repo, case.base, case.commit, case.exit.changed),
        changed=case.exit.changed,
        trusted=[path for path in repo.list_tree(tree) if trusted.is_trusted(case, path)],
    )
    if on_base:
        result = _on_fresh_copy(case, tree, spec, run_guard, on_base=True)
    else:
        result = _twice_on_fresh_copies(case, tree, spec)
    case.read.update(result.opened)
    if result.unseen:
        trusted.say_unseen(case, f"guard {selector}")
    if not on_base:
        case.green[selector] = result
    return result


def _unread(case: Case) -> bool:
    """Whether the base could not import the guard's files, so that only names are known."""
    base = case.found.guard.get("base")
    return base is not None and base.reason.startswith("collection failed")


def _with_parameters(names: list[str], collected: list[str]) -> list[str]:
    """The ids that the attempt collects of the names that the base's files define.

    A name that the attempt does not collect stays, and is missing when the guard runs.
    """
    wanted, seen = set(names), {one.partition("[")[0] for one in collected}
    kept = [one for one in collected if one in wanted or one.partition("[")[0] in wanted]
    return kept + [one for one in names if one not in seen and one not in kept]


def _tested_tree(case: Case) -> str:
    """The attempt's files, with everything that is trusted from the base."""
    return compose(
        case.harness.repo,
        case.commit,
        overlay_from=case.base,
        may_edit=case.may_edit,
        new=case.new_tests,
        overlay=case.guard_files,
    )


def _on_fresh_copy(
    case: Case,
    tree: str,
    spec: GuardSpec,
    run: Callable[[GuardSpec], GuardResult],
    *,
    on_base: bool = False,
) -> GuardResult:
    """Run a guard in a checkout of its own, which holds the tree byte for byte before it."""
    repo, head = case.harness.repo, case.base if on_base else case.commit
    checkout = export(repo, tree, head=head)
    try:
        laid = import_files(repo, checkout, tree).tree
        if laid != tree:
            names = ", ".join(repo.diff_names(tree, laid)[:5])
            return GuardResult("error", f"the checkout is not the tree that would land: {names}")
        furnish(repo, case.harness.config, checkout, case.base, None if on_base else (tree, head))
        side = "base" if on_base else "attempt"
        way = ", tests in the opposite order" if spec.backwards else ""
        what, tests = f"guard on the {side}{way}", len(spec.node_ids or ())
        with case.harness.busy(what, log=spec.log_path, tests=tests):
            result = run(replace(spec, checkout=checkout))
        _look_at_leftovers(case, tree, checkout, "the guard's")
        return result
    finally:
        remove_checkout(repo, checkout)


def _look_at_leftovers(
    case: Case, tree: str, checkout: Path, whose: str, named: Collection[str] = ()
) -> None:
    """Files of the tree that a run has changed (new ones may be a test's), but those it is for."""
    repo = case.harness.repo
    try:
        after = import_files(repo, checkout, tree).tree
    except (HarnessError, OSError) as problem:
        words = f"what {whose} run left cannot be read: {problem}"
        case.suspect([payloads.Flag("G02", ".", 0, words[:200])])
        return
    known = repo.list_tree(tree)
    for path in repo.diff_names(tree, after):
        if path in known and path not in named:
            words = f"{whose} run changed this file of the checkout"
            case.suspect([payloads.Flag("G02", path, 0, words)])


def _twice_on_fresh_copies(case: Case, tree: str, spec: GuardSpec) -> GuardResult:
    """Run the guard; when it passes, again on a second copy in the opposite order.

    One that passes in one order only is for a reviewer; one that changes its mind is not a pass.
    """
    first = _on_fresh_copy(case, tree, spec, run_twice)
    if not first.passed:
        return first
    name = spec.log_path.name if spec.log_path else "guard.log"
    more = case.report.parent / "logs" / f"backwards-{name}"  # no evidence: the same once more
    other = replace(spec, backwards=True, log_path=more, touched={})
    second = _on_fresh_copy(case, tree, other, run_guard)
    opened = tuple(sorted({*first.opened, *second.opened}))
    first = replace(first, opened=opened, unseen=first.unseen or second.unseen)
    if second.passed:
        return first
    if second.verdict == "fail" and len(first.nodes) > 1:
        third = _on_fresh_copy(case, tree, replace(spec, touched={}), run_guard)
        if third.passed:
            words = f"the guard passes in one order of its tests only: {second.reason}"
            case.suspect([payloads.Flag("G01", next(iter(first.nodes)), 0, words[:300])])
            return first
    reason = f"flaky: it passed on one fresh copy and not on a second: {second.reason}"
    return replace(second, reason=reason)


def _run_held_out(case: Case) -> None:
    """Lay the item's held-out guard over the attempt and run it; only a count is ever told."""
    if not case.item.held_out:
        return
    harness, found, name = case.harness, case.found, case.item.held_out
    absent = held_out.missing(harness, case.item)
    if absent:
        found.verdict, found.reason, found.signature = "reject", absent, "held-out: absent"
        found.verified, found.ticks = [], []
        return
    tree = _tested_tree(case)
    checkout = export(harness.repo, tree, head=case.commit)
    try:
        files = held_out.lay_over(harness, case.item, checkout)
        log = held_out.private_log(harness, case.report.parent.name)
        furnish(harness.repo, harness.config, checkout, case.base, (tree, case.commit))
        spec = guard_spec(harness, checkout, selector=files, log_path=log)
        with harness.busy(f"held-out guard {name}"):
            result = run_guard(spec)
    finally:
        remove_checkout(harness.repo, checkout)
    passed = sum(state == "passed" for state in result.nodes.values())
    how = f"{passed} of {len(result.nodes)} passed" if result.nodes else "it could not run"
    row = payloads.CheckRow("held-out", f"held-out {name}", result.passed, how)
    found.checks.append(row)
    harness.say(f"held-out guard {name}: {how}")
    if not result.passed:
        found.verdict, found.reason = "reject", f"held-out guard {name}: {how}"
        found.signature = found.reason
        found.verified, found.ticks = [], []


def _base_tree(case: Case) -> str:
    """The base's files, with the order's new tests laid over them (they must fail there)."""
    repo = case.harness.repo
    opened = (*case.new_tests, *case.may_edit)
    return lay_over(repo, case.base, case.commit, opened) if opened else repo.tree_of(case.base)


def _collect_on_base(case: Case, selector: str) -> Collected:
    if selector not in case.ids:
        case.ids[selector] = collect_in(case.harness, _base_tree(case), case.base, selector)
    return case.ids[selector]


def _run_criteria(case: Case) -> None:
    """Run the commands of the criteria that the order advances, in one fresh checkout."""
    wanted = [
        c
        for c in case.item.criteria
        if c.open
        and c.command is not None
        and (case.order.row in (None, "", c.id) or not _has_row(case))
    ]
    ran = {c.command.text for c in wanted if c.command} | {f"pytest {case.item.guard}"}
    extra = [check for check in case.order.checks if check.text not in ran and check.argv]
    if not wanted and not extra:
        return
    repo = case.harness.repo
    tree = _tested_tree(case)
    checkout = export(repo, tree, head=case.commit)
    place = checkout / case.report_path
    try:
        furnish(repo, case.harness.config, checkout, case.base, (tree, case.commit))
        shutil.copytree(case.report, place, dirs_exist_ok=True)
        for criterion in wanted:
            row = _check(case, checkout, place, criterion.id, _command(criterion))
            if row.passed:
                case.found.verified.append(criterion.id)
                case.found.ticks.append(criterion.id)
        for number, command in enumerate(extra, start=1):
            row = _check(case, checkout, place, f"check{number}", command)
            if not row.passed:
                case.found.turn_down(
                    "reject",
                    f"a check of the order failed: {command.text} ({row.how}){_said(case, row)}",
                    f"check: {command.text}: {row.how}",
                    command.text,
                )
        if not case.harness.deterministic:
            named = {word for criterion in wanted for word in _command(criterion).argv}
            named.update(word for command in extra for word in command.argv)
            _look_at_leftovers(case, tree, checkout, "a criterion's", named)
    finally:
        remove_checkout(repo, checkout)


def _has_row(case: Case) -> bool:
    return any(c.id == case.order.row for c in case.item.criteria)


def _command(criterion: Criterion) -> Command:
    assert criterion.command is not None
    return criterion.command


def _check(
    case: Case, checkout: Path, place: Path, name: str, command: Command
) -> payloads.CheckRow:
    """Run one check; pytest selectors go through the guard, everything else by argv."""
    selector = of_pytest_command(command.argv)
    case.harness.say(f"check {name}: {command.text}")
    if selector:
        result = run_selector(case, str(selector), on_base=False)
        how = f"guard {result.verdict} ({result.counted})"
        seconds = round(result.seconds, 3)
        row = payloads.CheckRow(name, command.text, result.passed, how, seconds)
    else:
        row = _run_command(case, checkout, place, name, command)
    case.found.checks.append(row)
    case.harness.say(f"check {name}: {'passed' if row.passed else 'failed'} ({row.how})")
    return row


def _said(case: Case, row: payloads.CheckRow) -> str:
    """What a failed check said: the first failure of its tests, or the last lines of its output."""
    for result in case.green.values():
        if row.how.startswith("guard ") and not result.passed and result.because:
            return f": {result.because}"
    log = case.report / "cli" / f"check_{row.name}.log"
    if not log.is_file():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")[-20_000:]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {' | '.join(lines[-3:])[-400:]} (log: {_place(case, log)})" if lines else ""


def _run_command(
    case: Case, checkout: Path, place: Path, name: str, command: Command
) -> payloads.CheckRow:
    config = case.harness.config
    limit = command.within_s or config.budgets.check_s
    log = case.report / "cli" / f"check_{name}.log"
    try:
        with scratch("check-") as folder:
            env = case.harness.environment(checkout, place, case.item.id)
            env |= own_folders(folder, config.python)
            ready = command.expanded(env)
            for word in set(OF_TURNS) - trusted.variables_named(case, command):
                env.pop(word, None)
            fenced = isolation.wrap(
                interpreter(ready.argv, config.python),
                isolation.choose(config.isolation),
                cwd=checkout,
                writable=[checkout, folder],
                closed=[checkout / path for path in trusted.closed_to(case, command.argv)],
                readable=installed(config.python).places,
                opened=config.for_guards(),
                env=env,
            )
            watch = Watch(checkout, case.exit.changed)
            with case.harness.busy(command.text, log=log), watch:
                child = run_child(
                    fenced,
                    checkout,
                    {**env, **ready.env},
                    total_s=limit,
                    log_path=log,
                    max_processes=config.max_processes,
                )
    except HarnessError as problem:
        return payloads.CheckRow(name, command.text, False, problem.what)
    case.ran.update(set(ready.argv).intersection(case.exit.changed))
    changed = watch.opened.intersection(case.exit.changed)
    trusted.note_criterion(case, command.argv, changed)
    if watch.lost:
        trusted.say_unseen(case, name)
    how = f"exit {child.exit_code}" if child.exit_code is not None else f"signal {child.signal}"
    if child.timed_out:
        how = f"no end within {limit:g} s"
    empty = none_passed(command, child.output_tail) if child.ok else ""
    how = f"{how}, but {empty}" if empty else how
    passed = child.ok and not empty
    return payloads.CheckRow(name, command.text, passed, how, round(child.seconds, 3))


def _decide(case: Case) -> None:
    """Land what newly verified something; turn down the rest."""
    found = case.found
    known = case.harness.state.items.get(case.item.id, ItemState())
    fresh = [name for name in found.verified if name not in known.verified]
    if fresh:
        found.verdict, found.reason = "land", "newly verified: " + ", ".join(fresh)
        return
    failed = [row for row in found.checks if not row.passed]
    if failed:
        first = failed[0]
        found.turn_down(
            "reject",
            f"criterion {first.name} is not met: {first.command} ({first.how}){_said(case, first)}",
            f"criterion {first.name}: {first.how}",
            first.command,
        )
    else:
        only = ", ".join(sorted(found.classes)) or "nothing"
        found.turn_down(
            "reject", f"no criterion newly verified (changed: {only})", f"no progress: {only}"
        )
