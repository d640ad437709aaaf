"""What an order (``input.md``) holds."""

from __future__ import annotations

from typing import NamedTuple

from orchestration.documents.grammar import Command, Diagnostic, Ref

MODES = ("TDD", "Parity", "Perf", "Docs", "Implementation", "none")


class Contract(NamedTuple):
    """A rule the change must keep and the place that states it; ``line`` counts from 1."""

    ref: Ref | None
    rule: str
    line: int = 0


class Task(NamedTuple):
    """One step of an order. ``new`` means its path does not exist yet; ``text`` may have lines.

    ``creates``: the words of the task say that it makes what it names (``new`` says so too).
    """

    row_id: str = ""
    state: str = " "
    verb: str = ""
    refs: tuple[Ref, ...] = ()
    text: str = ""
    verify: str | None = None
    new: bool = False
    creates: bool = False
    line: int = 0


class ArtifactTarget(NamedTuple):
    """A file the order promises and what it proves."""

    name: str
    meaning: str = ""
    line: int = 0


class FindingRef(NamedTuple):
    """A finding the order adheres to; ``id`` is empty for text such as ``none (searched: x)``."""

    id: str
    text: str = ""
    line: int = 0


class Section(NamedTuple):
    """A section without a field of its own, kept as written."""

    title: str
    text: str
    line: int = 0


class Order:
    """The worker's order, from whatever form it was written in (``source`` says which).

    ``selector_reason`` says why ``selector`` is "none".
    ``repeated`` are (key, value) of header lines that contradict an earlier line of their key.
    """

    def __init__(self) -> None:
        self.focus = ""
        self.item_id = ""
        self.row: str | None = None
        self.mode: str | None = None
        self.selector: str | None = None
        self.selector_new = False
        self.selector_reason = ""
        self.branch: str | None = None
        self.base: str | None = None
        self.budget: str | None = None
        self.hypothesis: str | None = None
        self.intent = ""
        self.title = ""
        self.number: str | None = None
        self.goal = ""
        self.contracts: list[Contract] = []
        self.interfaces = ""
        self.pseudocode = ""
        self.tasks: list[Task] = []
        self.checks: list[Command] = []
        self.artifacts: list[ArtifactTarget] = []
        self.forbidden: list[str] = []
        self.may_edit_tests: list[str] = []
        self.if_blocked = ""
        self.findings: list[FindingRef] = []
        self.retry_reason: str | None = None
        self.rows: list[str] = []
        self.extra: dict[str, str] = {}
        self.sections: list[Section] = []
        self.source = "canonical"
        self.lines: dict[str, int] = {}
        self.foci: list[str] = []
        self.selectors: list[tuple[str, int]] = []
        self.repeated: list[tuple[str, str]] = []
        self.diagnostics: list[Diagnostic] = []

    def line(self, name: str) -> int:
        """Return the line (from 1) of a header key or section, 0 when it is absent."""
        return self.lines.get(name, 0)
