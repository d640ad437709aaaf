"""The built-in agent: carries out recipes that a person wrote, offline and the same every time.

A recipe is a list of `apply: file.patch` and `run: command` steps in the ledger. The steps of the
order's row are done in order; the first that fails ends the turn. Without a step there is nothing
it can do, and it says so: it never guesses.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestration.agents.base import Outcome, OutcomeKind, TurnContext
from orchestration.agents.launch import launch
from orchestration.git import apply_command
from orchestration.sandbox import ChildResult
from orchestration.sandbox import fence as isolation

if TYPE_CHECKING:
    from orchestration.documents.ledger import Recipe

PYTHONS = ("python", "python3")


@dataclass
class _Step:
    """What one step came to: a line for the report, and how it ended."""

    line: str
    kind: OutcomeKind
    child: ChildResult | None = None


class PlaybookAgent:
    """Executes `item.recipes`. `python` replaces the words `python` and `python3` in a command."""

    name = "playbook"
    offline = True

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python

    def version(self) -> str | None:
        """The harness's own version: the playbook is part of it."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("ptycho")
        except PackageNotFoundError:
            return None

    def run(self, turn: TurnContext) -> Outcome:
        """Carry out the recipe rows of the turn's item."""
        steps = recipes_of(turn)
        if not steps:
            what = turn.order.row if turn.order and turn.order.row else "this item"
            return Outcome("blocked", f"needs an agent: no recipe for {what}")
        level = isolation.choose(turn.isolation, trusted=True)
        lines: list[str] = []
        artifacts: list[str] = []
        last: _Step | None = None
        for number, recipe in enumerate(steps, start=1):
            artifacts += recipe.artifacts
            last = self._step(turn, recipe, number, level)
            lines.append(last.line)
            if last.kind != "done":
                break
        assert last is not None
        return self._outcome(turn, lines, last, level, tuple(artifacts))

    def _step(
        self, turn: TurnContext, recipe: Recipe, number: int, level: isolation.Level
    ) -> _Step:
        if recipe.kind == "apply":
            return _apply(turn, recipe, number, level)
        if recipe.command is None or not recipe.command.argv:
            problem = recipe.command.error if recipe.command else "no command"
            return _Step(f"line {recipe.line}: the command cannot run: {problem}", "refused")
        command = recipe.command.expanded(turn.env)
        argv = list(command.argv)
        if argv[0] in PYTHONS:
            argv[0] = self.python
        own = recipe.within_s or command.within_s
        limit = own or turn.clocks.total_s
        child, _ = launch(
            turn,
            argv,
            env={**turn.env, **command.env},
            level=level,
            clocks=replace(turn.clocks, total_s=limit, idle_s=None if own else turn.clocks.idle_s),
            log_path=turn.report_dir / "cli" / f"recipe-{number}.log",
        )
        return _judge(command.text, child, limit)

    def _outcome(
        self,
        turn: TurnContext,
        lines: list[str],
        last: _Step,
        level: isolation.Level,
        artifacts: tuple[str, ...],
    ) -> Outcome:
        child = last.child
        return Outcome(
            last.kind,
            "\n".join(lines),
            exit_code=child.exit_code if child else None,
            signal=child.signal if child else None,
            log_path=child.log_path if child else None,
            isolation=level,
            process_limit=child.process_limit if child else None,
            artifacts=artifacts,
        )


def recipes_of(turn: TurnContext) -> list[Recipe]:
    """Recipe steps for the turn: those of the order's row, and those that name no row."""
    if turn.item is None:
        return []
    row = turn.order.row if turn.order else None
    return [step for step in turn.item.recipes if step.row in (None, "", row)]


def _apply(turn: TurnContext, recipe: Recipe, number: int, level: isolation.Level) -> _Step:
    """All of the patch or nothing; one that is applied already changes nothing."""
    patch = (turn.workspace / (recipe.patch or "")).resolve()
    if not patch.is_relative_to(turn.workspace.resolve()) or not patch.is_file():
        return _Step(
            f"line {recipe.line}: no such patch in the repository: {recipe.patch}", "crash"
        )

    def git(name: str, *flags: str) -> ChildResult:
        log = turn.log_dir / f"apply-{number}-{name}.log"
        argv = apply_command(patch, *flags)
        return launch(turn, argv, env=turn.env, level=level, log_path=log)[0]

    fits = git("check", "--check")
    if fits.ok:
        made = git("made", "--verbose")
        return _Step(f"apply {recipe.patch}", "done" if made.ok else "crash", made)
    if git("reverse", "--check", "--reverse").ok:
        return _Step(f"apply {recipe.patch}: already there", "done")
    said = " ".join(fits.output_tail.split())
    return _Step(
        f"apply {recipe.patch}: the patch does not apply: {said}; "
        "make it again from the order's base: git diff > file.patch",
        "crash",
    )


def _judge(text: str, child: ChildResult, limit: float) -> _Step:
    if child.timed_out:
        return _Step(f"run {text}: {child.timed_out} clock ran out ({limit:g} s)", "timeout", child)
    if child.ok:
        return _Step(f"run {text}: exit 0 in {child.seconds:.1f} s", "done", child)
    how = f"signal {child.signal}" if child.signal else f"exit {child.exit_code}"
    # The whole output is in the report; the last line names the exception or counts the failures.
    said = child.output_tail.strip().splitlines()[-1:]
    return _Step(": ".join([f"run {text}", how, *said]), "crash", child)
