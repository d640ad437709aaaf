"""The status text for a terminal: plain characters, one screen whatever the history is.

A small ledger is shown whole. Where that passes the screen, each fact keeps its first line and the
counts say how much is not shown: what a person has to act on goes first.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator

from orchestration.documents.grammar import printable
from orchestration.views.model import GROUPS, ItemView, View

WIDTH, ROWS = 80, 23
"""A screen of 80 x 24 less the line of the prompt."""
NARROWEST = 24
MAX_LINES = 4
"""Lines that one fact may take; the rest of it is in `show` and in `--json`."""
URGENT = ("held", "working", "blocked", "waiting", "open", "landed", "dropped")
"""Groups in the order in which they get room on a screen."""
MORE = "orchestrate status --all"


def render_status(view: View, *, width: int = WIDTH, rows: int | None = None) -> str:
    """Return what is going on, since when, the last progress, blockers, and what to type.

    `rows` bounds the lines (None: all there is); `width` the columns.
    """
    width = max(width, NARROWEST)
    whole = _whole(view, width)
    lines = whole if rows is None or len(whole) <= rows else _screen(view, width, rows)
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


# -- all of it -----------------------------------------------------------------------------------


def _whole(view: View, width: int) -> list[str]:
    lines = [*_top(view, width), "", *_summary(view, width)]
    for key, heading in GROUPS:
        items = view.group(key)
        if items:
            lines += ["", f"{heading} ({len(items)})"]
            for item in items:
                lines += _item(item, width)
    for line in _last_facts(view):
        lines += ["", *_wrap(line, width, "")]
    if _told(view):
        lines += ["", "What to type next"]
        for advice in _told(view):
            lines += _shortened(advice, width, "  ")
    return lines


def _top(view: View, width: int) -> list[str]:
    lines = [*_shortened(_headline(view), width, "")]
    if view.end_text:
        lines += _shortened(view.end_text, width, "  ")
    for line in _going_on(view, width):
        lines += _shortened(line, width, "  ")
    if view.fence:
        lines += _shortened(view.fence, width, "  ")
    return lines


def _headline(view: View) -> str:
    where = f"{view.repository} on {view.branch} ({view.head})"
    run = f"the run of {view.started_at} with {view.agent}"
    if not view.run_id:
        return f"{where}: no run yet"
    if view.tamper:
        return f"{where}: stopped, tamper: {view.tamper}"
    if view.paused:
        return f"{where}: paused: {view.paused}"
    if view.ended:
        return f"{where}: {run} ended: {view.ended}"
    if view.now.state == "live":
        return f"{where}: LIVE, running since {view.started_at} with {view.agent}"
    if view.now.state == "elsewhere":
        return f"{where}: {run} has not ended, and runs (or ran) on another machine"
    return f"{where}: DEAD, {run} is dead since {view.died_at}: no process works on it"


def _going_on(view: View, width: int) -> Iterator[str]:
    """What a run that has not ended is at, or was at when it died."""
    now = view.now
    if now.state in ("none", "ended"):
        return
    what = f"{now.what} ({now.item}, turn {now.turn})" if now.item else now.what
    lived = now.state == "live"
    span = ago(now.seconds)
    yield f"for {span}: {what}" if lived else f"last heard of {span} ago: {what}"
    if now.tests:
        yield f"{bar(now.done, now.tests, min(24, width - 24))} {now.done} of {now.tests} tests"
    if now.said:
        yield f"{ago(now.said_s)} ago: {now.said}"
    if view.stops:
        yield "stops at: " + ", ".join(view.stops)


def bar(done: int, of: int, width: int) -> str:
    """A progress bar of plain characters: `[####----]`."""
    full = round(width * done / of) if of else 0
    return f"[{'#' * full}{'-' * (width - full)}]"


def ago(seconds: float | None) -> str:
    """A time span in two units at most: `5 s`, `3 min 20 s`, `2 h 5 min`, `3 days`."""
    if seconds is None:
        return "some time"
    whole = round(seconds)
    if seconds < 9.95 and seconds != whole:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"


def _summary(view: View, width: int) -> list[str]:
    spend = view.spend
    counts = [f"{len(view.group(key))} {heading.lower()}" for key, heading in GROUPS]
    shown = ", ".join(text for text in counts if not text.startswith("0 ")) or "no items"
    money = _against(spend.get("money"), spend.get("money_cap"), "money")
    tokens = _against(spend.get("tokens"), spend.get("tokens_cap"), "tokens")
    seconds = _against(spend.get("agent_s"), spend.get("agent_s_cap"), "agent seconds")
    spent = f"Spent: {seconds}, {money}, {tokens}; cycles: {view.cycles}"
    return [*_wrap(f"Items: {shown}", width, ""), *_wrap(spent, width, "")]


def _against(value: float | None, cap: float | None, name: str) -> str:
    text = f"{name} {'unknown' if value is None else f'{value:g}'}"
    return text if cap is None else f"{text} of {cap:g}"


def _last_facts(view: View) -> Iterator[str]:
    progress = view.last_progress
    if progress:
        yield (
            f"Last progress: {', '.join(progress.get('verified', []))} of {progress.get('item')} "
            f"at {progress.get('at')} (turn {progress.get('turn')})"
        )
    if view.unpushed:
        commits = "commit" if view.unpushed == 1 else "commits"
        yield f"Unpushed: {view.unpushed} {commits}: git push"


def _told(view: View) -> list[str]:
    """What to type next, first of all what a dead run needs."""
    return [*filter(None, [view.now.advice]), *view.advice]


def _item(item: ItemView, width: int) -> list[str]:
    lines = _wrap(_title(item), width, "  ")
    details = []
    if item.commits:
        details.append("commit " + ", ".join(item.commits))
    if item.waits_for or item.check:
        details.append(_waiting(item))
    if item.reason and item.group != "landed":
        details.append(item.reason)
    if item.group in ("open", "working") and item.dwell:
        details.append(f"{item.dwell} cycles without progress")
    if item.work and item.group not in ("landed", "dropped"):
        where = f"the agent works in {item.work} (run no git in it: its settings are the agent's)"
        details.append(where if item.work[0] == "/" else f"last attempt: git show {item.work}")
    for detail in details:
        lines += _shortened(detail, width, "      ")
    return lines


def _title(item: ItemView) -> str:
    met = f"{item.met}/{len(item.criteria)}" if item.criteria else "-"
    return f"{item.id}  [{met}]  {item.title}"


def _waiting(item: ItemView) -> str:
    until = f", until {item.until}" if item.until else ""
    return f"for {item.waits_for}{until}; check: {item.check}"


# -- one screen ----------------------------------------------------------------------------------


def _screen(view: View, width: int, rows: int) -> list[str]:
    """The same cut to a screen: the first line of each fact, and how much more there is."""
    summary = _summary(view, width)
    advice = _types(view, width, room=min(5, max(2, rows // 4)))
    facts = [f"  {line}" for line in (view.end_text, *_going_on(view, width), view.fence) if line]
    last = list(_last_facts(view))
    # What a person asks first stays: the headline, what it is at, the spending, what to type.
    head = _wrap(_ended_first(view), width, "")
    most = max(1, rows // 10)
    head = head if len(head) <= most else [*head[: most - 1], " ".join(head[most - 1 :])]
    room = rows - len(head) - len(summary) - len(advice)
    last = last[: max(0, room - min(2, len(facts)))]
    facts = facts[: max(0, room - len(last))]
    top = [_cut(line, width) for line in (*head, *facts)]
    room = rows - len(top) - len(summary) - len(last) - len(advice)
    middle = _groups(view, width, room)
    return [*top, *summary, *middle, *(_cut(line, width) for line in last), *advice][:rows]


def _ended_first(view: View) -> str:
    """The headline with how the run ended before which run it was: what is cut is at the end."""
    head, ended = _headline(view), f" ended: {view.ended}"
    if not view.ended or not head.endswith(ended):
        return head
    where, _, run = head.removesuffix(ended).partition(": ")
    return f"{where}:{ended}, {run}"


def _types(view: View, width: int, room: int) -> list[str]:
    """What to type, the same words for several items said once."""
    if not _told(view):
        return []
    told: dict[str, list[str]] = {}
    for line in _told(view):
        head, colon, rest = line.partition(": ")
        item = head if colon and any(item.id == head for item in view.items) else ""
        words = (
            (rest if item else line).replace(f"reopen {item} ", "reopen ITEM ") if item else line
        )
        told.setdefault(words, []).append(item)
    lines = [
        f"  {_few([one for one in items if one])}: {words}" if items[0] else f"  {words}"
        for words, items in told.items()
    ]
    if len(lines) > room - 1:
        lines = [*lines[: room - 2], f"  … {len(lines) - room + 2} more: {MORE}"]
    return ["What to type next", *(_cut(line, width) for line in lines)][:room]


def _few(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _groups(view: View, width: int, room: int) -> list[str]:
    """Group headings with as many items as there is room for; a group without room is a count."""
    names = dict(GROUPS)
    shown: dict[str, int] = {}
    for key in URGENT:  # a heading and one item each, then the rest of the room in the same order
        if view.group(key) and room >= 2:
            shown[key], room = 1, room - 2
    for key in shown:
        more = min(room, len(view.group(key)) - 1)
        shown[key], room = shown[key] + more, room - more
    lines = []
    for key, number in shown.items():
        items = view.group(key)
        head = f"{names[key]} ({len(items)})"
        hidden = len(items) - number
        lines.append(_cut(f"{head}, {hidden} not shown" if hidden else head, width))
        lines += [_cut(f"  {_brief(item)}", width) for item in _pressing(items)[:number]]
    return lines


def _pressing(items: tuple[ItemView, ...]) -> list[ItemView]:
    """Landed items newest last in the ledger are shown last first; all others in its order."""
    landed = bool(items) and items[0].group == "landed"
    return list(reversed(items)) if landed else list(items)


def _brief(item: ItemView) -> str:
    """An item in one line: why it stands there, else its title."""
    met = f"{item.met}/{len(item.criteria)}" if item.criteria else "-"
    why = _waiting(item) if item.waits_for or item.check else item.reason
    why = "" if item.group == "landed" else why
    return f"{item.id}  [{met}]  {why or item.title}"


# -- lines ---------------------------------------------------------------------------------------


def _columns(text: str) -> int:
    """Terminal columns of a text: East Asian wide characters take two, marks none."""
    wide = (2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return len(text) if text.isascii() else sum(wide)


def _cut(text: str, width: int) -> str:
    """A text in one line of at most `width` columns."""
    flat = text[: len(text) - len(text.lstrip(" "))] + " ".join(printable(text).split())
    if _columns(flat) <= width:
        return flat
    while _columns(flat) > width - 1:
        flat = flat[: min(len(flat) - 1, width)]
    return flat + "…"


def _shortened(text: str, width: int, indent: str) -> list[str]:
    """The text in a few lines; where it is longer, a last line says where all of it is."""
    lines = _wrap(text, width, indent)
    if len(lines) <= MAX_LINES:
        return lines
    more = f"{indent}    … {len(lines) - MAX_LINES + 1} more lines: orchestrate status --json"
    return [*lines[: MAX_LINES - 1], more]


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return list(_folded(" ".join(printable(text).split()), width, indent)) or [""]


def _folded(flat: str, width: int, indent: str) -> Iterable[str]:
    # A wide character takes two columns, and textwrap counts one.
    scale = len(flat) / max(1, _columns(flat))
    return textwrap.wrap(
        flat,
        max(len(indent) + 8, int(width * scale)),
        initial_indent=indent,
        subsequent_indent=indent + ("    " if len(indent) < 6 else ""),
        break_on_hyphens=False,
    )
