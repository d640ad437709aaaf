"""Writing the pages: each in one step, and only those whose turn has changed since."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from urllib.parse import quote

from orchestration.views.page import Frame, Site, turn_page
from orchestration.views.sources import Loaded

PAGE = "report.html"
MADE = ".made.json"


def report_path(state_dir: Path) -> Path:
    """Where `run` keeps the page of a repository."""
    return state_dir / PAGE


def write_pages(loaded: Loaded, page: Path) -> Site:
    """Write the first page to `page` and the turns' pages to `<page's name>-turns/` beside it.

    Every file is replaced in one step, the turns' pages first, so that no link leads nowhere; a
    page whose turn says the same as when it was written stays. Raises OSError.
    """
    folder = page.with_name(f"{page.stem}-turns")
    site = Site(loaded, Frame(f"{quote(folder.name)}/", f"../{quote(page.name)}"))
    folder.mkdir(parents=True, exist_ok=True)
    made = _made(folder)
    keys = {cycle.turn: site.key(cycle) for cycle in site.cycles}
    there = set(os.listdir(folder))
    old = [t for t, k in keys.items() if made.get(str(t)) != k or turn_page(t) not in there]
    details = site.details(old)
    for turn in old:
        _replace(folder / turn_page(turn), site.turn(turn, details[turn]))
    for name in there.difference(map(turn_page, keys)):
        if name.startswith("turn-") and name.endswith(".html"):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
    if old:
        _replace(folder / MADE, json.dumps({str(turn): key for turn, key in keys.items()}))
    _replace(page, site.index())
    return site


def _made(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
