"""The page of one or several results: self-contained HTML, without script, readable anywhere.

Names, settings and sentences come from files that others may have written: all text is escaped,
what is not printed (controls, marks that turn the direction of text) is written out, and the page's
own policy allows one style sheet, by its hash, and pictures that lie in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import ptycho
from ptycho.data import whole_file
from ptycho.report.contents import PARTS, Contents

GENERATOR = "ptycho report"
LONGEST = 2000
"""Characters of one text that are shown; what was cut off is counted."""
TICKED = re.compile(r"`([^`\n]+)`")
"""A command in a sentence."""
_OWN_SECTIONS = (("again", "Command"), ("settings", "Settings"), ("versions", "Versions"))


@dataclass(frozen=True)
class Now:
    """What the page of work that goes on says of it.

    Args:
        headline: in a word or two. line: how far it is. at: when this was written.
        running: whether the page loads itself anew, every `every_s` seconds.
    """

    headline: str
    line: str
    at: str
    running: bool
    every_s: int = 5


def render(results: Sequence[Contents], now: Now | None = None) -> str:
    """The page of these results, side by side where there are several."""
    style = files("ptycho.report").joinpath("templates/style.css").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("ptycho.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=visible,
        auto_reload=False,
    )
    environment.filters.update(
        base64=lambda data: Markup(base64.b64encode(data).decode()),
        setting=lambda value: value if isinstance(value, str) else json.dumps(value, default=str),
        quoted=shlex.quote,
        ticked=lambda text: Markup(TICKED.sub(r"<code>\1</code>", str(escape(visible(text))))),
    )
    labels: dict[str, None] = {}
    for one in results:
        labels |= dict.fromkeys(one.facts)
    names = [Path(one.name).name or one.name for one in results]
    return environment.get_template("page.html.j2").render(
        results=results,
        many=len(results) > 1,
        now=now,
        title=names[0] if len(names) == 1 else f"{len(names)} results side by side",
        labels=list(labels),
        parts=PARTS,
        sections=(("glance", "At a glance"), *PARTS, *_OWN_SECTIONS),
        differing=_differing(results),
        style=Markup(style),
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
        generator=GENERATOR,
        version=ptycho.__version__,
    )


def write_page(results: Sequence[Contents], path: Path, now: Now | None = None) -> Path:
    """Write the page, whole or not at all. Raises OSError."""
    text = render(results, now)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def is_page(path: Path) -> bool:
    """Whether a file was written by `write_page`."""
    try:
        with path.open("rb") as file:
            return f'content="{GENERATOR}"'.encode() in file.read(1024)
    except OSError:
        return False


def visible(value: Any) -> Any:
    """A text with what is not printed written out, and cut where it is very long."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    cut = value[:LONGEST]
    if not cut.isprintable():
        cut = "".join(
            c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in cut
        )
    left = len(value) - LONGEST
    return f"{cut} … ({left} characters more)" if left > 0 else cut


def _differing(results: Sequence[Contents]) -> list[str]:
    """Settings that two results have and that are not the same in them."""
    told: dict[str, list[Any]] = {}
    for one in results:
        for key, value in one.settings.items():
            told.setdefault(key, []).append(value)
    return [key for key, values in told.items() if any(value != values[0] for value in values)]
