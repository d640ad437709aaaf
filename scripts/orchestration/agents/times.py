"""When a program says that it is worth trying again: headers, keys of JSON, and words for people.

Programs print a wait ("in 3h 12m"), a moment ("resets 3pm (UTC)", an ISO time) or a Unix time, as
prose or as JSON. A time of day without a zone is that of this machine, where the program ran.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

MAX_WAIT_S = 31 * 86400.0
"""A wait that is named longer than a month is no time to wait for."""
TEXT_CAP = 4_000  # an error's beginning says what it is; the rest may be a page of HTML
_LATE_S = 120.0  # a time of day that has only just passed is not tomorrow's
_EPOCH_FROM = 1e9  # a smaller number is a wait in seconds
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AMOUNT = (
    r"(\d{1,9}(?:\.\d{1,9})?)\s?"
    r"(ms|s|m|h|d|w)(?:ecs?|econds?|ins?|inutes?|rs?|ours?|ays?|eeks?|illis\w{0,8})?(?![a-z])"
)
_WAIT = rf"(?:{_AMOUNT}[\s,]{{0,2}}(?:and )?){{1,5}}"
_PARTS = re.compile(_AMOUNT, re.IGNORECASE)
_IN = re.compile(
    r"(?:try again|retry|retrying|resets?|available|wait)(?: again)?"
    rf"(?:[^\n]{{0,60}}? (?:in|after|for)|)?:? ({_WAIT})",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"limit reached\|(\d{9,13})\b")
_KEYED = re.compile(
    r"\b(?P<key>[\w.-]{0,40}?(?:retry[\s_-]?(?:after|in|at|delay|time)|resets?)"
    r"[\w.-]{0,40})[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<value>[^\"'}\]\n]{1,60})",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*(?:$|[,;)])")
_ISO_TIME = r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?) ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?"
_ISO = re.compile(rf"(?:until|at|after|on|resets?):? {_ISO_TIME}", re.IGNORECASE)
_ISO_VALUE = re.compile(_ISO_TIME, re.IGNORECASE)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_CLOCK_TIME = (
    rf"(?:(?:(?P<month>{'|'.join(_MONTHS)})[a-z]{{0,6}}\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
    r"(?:,? (?P<year>20\d\d))?|(?P<tomorrow>tomorrow)|today"
    rf"|(?P<weekday>{'|'.join(_DAYS)})[a-z]{{0,6}}),?(?: at)? )?"
    r"(?:(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?::\d\d)? ?(?P<half>[ap])\.?m\b"
    r"|(?P<hour24>\d{1,2}):(?P<minute24>\d\d)(?![\d:]))"
    r"(?: ?\(?(?P<zone>UTC|GMT|[A-Z][A-Za-z_]{1,20}/[A-Za-z_/]{1,40})\b)?"
)
_CLOCK = re.compile(
    rf"(?:resets?|again|available|until)\b[^\n\d]{{0,24}}? (?:at )?{_CLOCK_TIME}", re.IGNORECASE
)


def time_in(text: str, now: datetime) -> datetime | None:
    """When an error's words say that it is worth trying again; None where they name no time."""
    text = text[:TEXT_CAP].replace("\\", "")  # JSON inside a text of JSON
    if found := _EPOCH.search(text):
        return at_epoch(float(found[1]), now)
    for keyed in _KEYED.finditer(text):
        when = _value(keyed["key"].lower(), keyed["value"].strip(), now)
        if when is not None:
            return when
    for form, read in _FORMS:
        if (found := form.search(text)) and (when := read(found, now)) is not None:
            return when
    return None


def _value(key: str, value: str, now: datetime) -> datetime | None:
    """The time that stands behind a key such as `retry-after`, `resets_at` or `retryDelay`."""
    if number := _NUMBER.match(value):
        seconds = float(number[1])
        if seconds >= _EPOCH_FROM:
            return at_epoch(seconds, now)
        return after(seconds / 1000 if re.search(r"ms$|milli", key) else seconds, now)
    if re.match(_WAIT, value, re.IGNORECASE):
        return _wait(value, now)
    if found := _ISO_VALUE.match(value):
        return _moment(found, now)
    return _http_date(value, now)


def _wait(text: str, now: datetime) -> datetime | None:
    parts = _PARTS.findall(text)
    return after(sum(float(n) * _UNIT_S[unit.lower()] for n, unit in parts), now)


def _moment(found: re.Match[str], now: datetime) -> datetime | None:
    zone = (found[2] or "").upper()
    try:
        when = datetime.fromisoformat(found[1] + (zone if zone[:1] in "+-" else ""))
        named = when if when.tzinfo else when.replace(tzinfo=UTC)
        return _near(named.astimezone(UTC), now)
    except (ValueError, OverflowError):
        return None


def _clock(found: re.Match[str], now: datetime) -> datetime | None:
    """A time of day, with a day or without one; the next such moment."""
    here = now.astimezone(_zone(found["zone"]))
    hour, minute = int(found["hour"] or found["hour24"]), found["minute"] or found["minute24"]
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found["half"].lower() == "p")
    try:
        when = here.replace(hour=hour, minute=int(minute or 0), second=0, microsecond=0)
        if found["month"]:
            year, month = int(found["year"] or here.year), _MONTHS.index(found["month"].lower())
            when = when.replace(year=year, month=month + 1, day=int(found["day"]))
            if when < here and not found["year"]:
                when = when.replace(year=year + 1)
            return _near(when, now)
    except ValueError:
        return None
    if found["weekday"]:
        ahead = (_DAYS.index(found["weekday"].lower()) - here.weekday()) % 7
        when, step = when + timedelta(days=ahead), 7
    else:
        when, step = when + timedelta(days=bool(found["tomorrow"])), 1
    late = (here - when).total_seconds()
    return _near(when + timedelta(days=step) if late > _LATE_S else when, now)


def _zone(name: str | None) -> tzinfo | None:
    """The named zone; None is this machine's own."""
    if name is None or name.upper() in ("UTC", "GMT"):
        return None if name is None else UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # no such zone
        return None


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], datetime | None]], ...] = (
    (_ISO, _moment),
    (_IN, lambda found, now: _wait(found[1], now)),
    (_CLOCK, _clock),
)


def after(seconds: float, now: datetime) -> datetime | None:
    """The time `seconds` from now; None for what is no time to wait."""
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_WAIT_S:
        return None
    return now + timedelta(seconds=seconds)


def at_epoch(seconds: float, now: datetime) -> datetime | None:
    """The time of a Unix time stamp, in seconds or in milliseconds."""
    seconds = seconds / 1000 if seconds > 1e11 else seconds
    return after(max(0.0, seconds - now.timestamp()), now)


def retry_after(value: str, now: datetime) -> datetime | None:
    """Read a Retry-After header: seconds, or an HTTP date."""
    try:
        return after(float(value), now)
    except ValueError:
        return _http_date(value, now)


def _http_date(value: str, now: datetime) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _near(when if when.tzinfo else when.replace(tzinfo=UTC), now)


def _near(when: datetime, now: datetime) -> datetime | None:
    return after(max(0.0, (when - now).total_seconds()), now)
