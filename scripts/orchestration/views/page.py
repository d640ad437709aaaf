"""The report: self-contained HTML, nothing fetched, nothing executed, readable without script.

One page has everything at a glance and the last turns whole; every turn has a page of its own
beside it. What a page shows is an agent's text for the most part: all of it is escaped, characters
that are not printed (controls, marks that turn the direction of text) are written out, and the
page's policy allows one style sheet by its hash and pictures that lie in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestration.core import Standing, payloads
from orchestration.documents.findings import Finding, parse_findings
from orchestration.documents.grammar import printable_lines
from orchestration.gates import secrets
from orchestration.harness import read_text_at
from orchestration.views.cycles import CycleView, cycles_of
from orchestration.views.details import Details, details_of
from orchestration.views.evidence import Evidence
from orchestration.views.model import GROUPS, View
from orchestration.views.sources import Loaded, evidence_of
from orchestration.views.terminal import URGENT, ago

RECENT = 10
"""Turns that the first page shows whole."""
PICTURES = 900_000
"""Bytes that the pictures of the board may take; each turn's own page shows the rest."""
MOST_RETROS = 20
SHORT = 300
"""Characters of a text that is looked at for credentials once for all pages that show it."""


def headline(view: View) -> str:
    """Return the page's first line: what became of the run."""
    if not view.run_id:
        return f"{view.repository}: no run yet"
    if view.tamper:
        return f"Stopped: tamper ({view.tamper})"
    if not view.ended:
        words = {"dead": "Dead: the run's process is gone", "elsewhere": "Not ended"}
        return words.get(view.now.state, "Running")
    words = {
        "DONE": "Done",
        "CHECKS_RED": "Ended with red checks",
        "BUDGET": "Stopped: the budget is spent",
        "STALLED": "Stopped: no progress",
        "TAMPER": "Stopped: tamper",
        "BLOCKED_ON_USER": "A person is needed now",
        "RETRY_LATER": "To be tried again later",
        "INTERRUPTED": "Interrupted",
        "DISK_FULL": "Stopped: the disk is full",
    }
    return f"{words.get(view.ended, view.ended)} ({view.ended})"


@dataclass(frozen=True)
class Frame:
    """How pages are framed: `folder` of the turns' pages and `home`, the way back from them.

    `script` is what keeps a served page current, `policy` says what a page without a server allows.
    """

    folder: str
    home: str
    script: str = ""
    refresh: int = 0
    served: bool = False


def turn_page(turn: int) -> str:
    """The file name of a turn's page."""
    return f"turn-{turn:06d}.html"


class Site:
    """The pages of a repository as it was loaded."""

    def __init__(self, loaded: Loaded, frame: Frame) -> None:
        self.loaded, self.frame = loaded, frame
        self.cycles = cycles_of(loaded.events)
        self._words: dict[str, str] = {}  # IDs, times, verdicts: on many pages each
        self.by_turn = {cycle.turn: number for number, cycle in enumerate(self.cycles)}

    @cached_property
    def style(self) -> Markup:
        """The style sheet, the same in every page."""
        text = files("orchestration.views").joinpath("templates/style.css").read_text("utf-8")
        return Markup(text.strip())

    @property
    def style_policy(self) -> str:
        """The source by which a policy allows the style sheet and no other."""
        digest = hashlib.sha256(self.style.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    @cached_property
    def _environment(self) -> Environment:
        made = Environment(
            loader=PackageLoader("orchestration.views"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            finalize=self._shown,
            auto_reload=False,
        )
        policy = f"default-src 'none'; img-src data:; style-src {self.style_policy}"
        made.globals.update(
            spans=ago,
            anchor=anchor,
            style=self.style,
            policy="" if self.frame.served else f"{policy}; base-uri 'none'; form-action 'none'",
            script=Markup(self.frame.script),
            refresh=self.frame.refresh,
        )
        return made

    def _shown(self, value: Any) -> Any:
        """A value as a page shows it: no credential, nothing invisible."""
        if not isinstance(value, str) or isinstance(value, Markup):
            return value
        found = self._words.get(value)
        if found is None:
            long = len(value) >= secrets.MIN_VALUE
            found = visible(secrets.redact(value, self.loaded.known) if long else value)
            if len(value) <= SHORT:
                self._words[value] = found
        return found

    @property
    def evidence(self) -> list[Evidence]:
        """What the landings left, as the board shows it."""
        return evidence_of(self.loaded, room=PICTURES)

    def index(self) -> str:
        """The first page."""
        view, cycles = self.loaded.view, self.cycles
        recent = cycles[-RECENT:][::-1]
        pages = {c.turn: self.frame.folder + turn_page(c.turn) for c in cycles}
        here = {cycle.turn: f"#turn-{cycle.turn}" for cycle in recent}
        pieces: dict[str, list[Evidence]] = {}
        for piece in self.evidence:
            pieces.setdefault(piece.item, []).append(piece)
        names = dict(GROUPS)
        return self._environment.get_template("report.html.j2").render(
            view=view,
            headline=headline(view),
            groups=GROUPS,
            order=[(key, names[key]) for key in URGENT],
            cycles=cycles,
            recent=recent,
            details=details_of(self.loaded, recent),
            evidence=pieces,
            pages=pages,
            links={**pages, **here},
            heights=heights(cycles),
            retros=self._retros(),
            findings=self._findings(),
            stopped=self._stopped(),
            log_tip=self.loaded.log_tip,
        )

    def turn(self, turn: int, details: Details) -> str:
        """The page of one turn."""
        number = self.by_turn[turn]
        before, after = self._beside(number)
        return self._environment.get_template("turn.html.j2").render(
            cycle=self.cycles[number],
            more=details,
            home=self.frame.home,
            before=turn_page(before) if before else "",
            after=turn_page(after) if after else "",
        )

    def details(self, turns: Sequence[int]) -> dict[int, Details]:
        """What the pages of some turns show beside the log."""
        return details_of(self.loaded, [self.cycles[self.by_turn[turn]] for turn in turns])

    def key(self, cycle: CycleView) -> str:
        """A word that changes when the turn's page would."""
        said = f"{cycle!r} {self._beside(self.by_turn[cycle.turn])} {self._templates}"
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]

    def _beside(self, number: int) -> tuple[int, int]:
        turns = [cycle.turn for cycle in self.cycles[max(0, number - 1) : number + 2]]
        before = turns[0] if number > 0 else 0
        return before, turns[-1] if number + 1 < len(self.cycles) else 0

    @cached_property
    def _templates(self) -> str:
        folder = files("orchestration.views").joinpath("templates")
        names = ("style.css", "parts.html.j2", "turn.html.j2")
        text = "".join(folder.joinpath(name).read_text("utf-8") for name in names)
        return hashlib.sha256((text + repr(self.frame)).encode()).hexdigest()

    def _retros(self) -> list[tuple[str, str, str]]:
        events = self.loaded.events
        found = [
            (e.at, str(e.item or ""), e.payload.text)
            for e in events
            if isinstance(e.payload, payloads.Reviewed)
        ]
        return found[-MOST_RETROS:][::-1]

    def _findings(self) -> list[Finding]:
        loaded = self.loaded
        text = read_text_at(loaded.repo, loaded.tip, loaded.config.findings)
        return list(parse_findings(text, loaded.config.findings).rows) if text else []

    def _stopped(self) -> tuple[Standing, ...]:
        """What the end of the last run weighed, else the last decision."""
        for event in reversed(self.loaded.events):
            said = event.payload
            weighed = getattr(said, "evidence", None)
            if isinstance(said, payloads.RunEnded | payloads.Decided) and weighed is not None:
                return weighed.items
        return ()


def heights(cycles: Sequence[CycleView]) -> list[int]:
    """Bars of 3 to 38 for the durations of cycles."""
    spans = [cycle.seconds or 0.0 for cycle in cycles]
    longest = max(spans, default=0.0) or 1.0
    return [3 + round(35 * span / longest) for span in spans]


def anchor(item: str) -> str:
    """A fragment for an item: its ID, and a word of its own where that has odd characters."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "", item)
    if plain == item:
        return f"item-{item}"
    return f"item-{plain}-{hashlib.sha256(item.encode('utf-8', 'replace')).hexdigest()[:8]}"


def visible(value: Any) -> Any:
    """A text with what is not printed written out; the page's own markup as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return printable_lines(value.replace("\r\n", "\n"))


def render_page(loaded: Loaded, frame: Frame | None = None) -> str:
    """The first page of a repository, alone."""
    return Site(loaded, frame or Frame("report-turns/", "../report.html")).index()
