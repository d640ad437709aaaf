"""What a program's error is about: the login, a limit, the service or the way there; and how long.

Read from a status code where there is one, else from the words of the error. Only what a program
reports as its error comes here, never what a model says.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from orchestration.agents.base import OutageKind

MAX_WAIT_S = 31 * 86400.0
"""A wait that is named longer than a month is no time to wait for."""
_TEXT_CAP = 4_000  # an error's beginning says what it is; the rest may be a page of HTML
_STATUS = re.compile(
    r"(?:status(?: code)?|error|code|rejected|http)\"?[\s:=(]{1,3}(4\d\d|5\d\d)\b"
    r"|\b(4\d\d|5\d\d) (?:unauthorized|forbidden|too many|internal|bad gateway|service|gateway)",
    re.IGNORECASE,
)
_FORMS: tuple[tuple[OutageKind, str], ...] = (
    (
        "auth",
        r"unauthori[sz]ed|unauthenticated|authenticat|not (?:logged|signed) in|please run"
        r" /login|invalid (?:api.?key|x-api-key|auth method)"
        r"|(?:api.?key|credentials?) (?:is |are )?"
        r"(?:missing|not (?:found|set|valid)|invalid|expired|required)|token (?:has )?expired"
        r"|(?:set|specify|provide) (?:the |an? |your )?\S{0,30}api.?key|no api.?key"
        r"|login required|credit balance is too low",
    ),
    (
        "rate_limit",
        r"rate.?limit|too many requests|usage limit|quota|resource.?exhausted|limit reached"
        r"|hit your limit",
    ),
    (
        "overloaded",
        r"overloaded|high demand|internal.?server.?error|service.?unavailable|bad gateway"
        r"|servers? (?:are|is) (?:down|busy)|at capacity|(?<!resource )temporarily unavailable",
    ),
    (
        "network",
        r"stream (?:disconnected|closed|error)|connection.{0,20}(?:refused|reset|error|closed|"
        r"aborted|timed? ?out)|e(?:connrefused|connreset|notfound|timedout|ai_again|pipe)\b"
        r"|getaddrinfo|name.?resol|fetch failed|network|unreachable|tls|certificate|ssl"
        r"|timed? ?out|max retries exceeded|socket hang up"
        r"|json parse error|failed to parse json|not valid json"
        r"|in json at position|unexpected end of json"
        r"|expecting .{1,12} delimiter",
    ),
)
_WORDS = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _FORMS)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?)\s?(ms|[smhd])[a-z]{0,11}"
_IN = re.compile(
    rf"(?:try again|retry|retrying|resets?|available|wait)(?: again)?(?: in| after| for)?:? "
    rf"((?:{_AMOUNT}[\s,]{{0,2}}(?:and )?){{1,4}})",
    re.IGNORECASE,
)
_PARTS = re.compile(_AMOUNT, re.IGNORECASE)
_EPOCH = re.compile(r"limit reached\|(\d{9,11})\b")
_ISO = re.compile(
    r"(?:until|at|after|resets?) (\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?"
    r"(?:Z|[+-]\d\d:?\d\d))"
)


@dataclass(frozen=True)
class Fault:
    """One outage: its kind, the program's words, and when it is over, if that was named."""

    kind: OutageKind
    text: str
    retry_at: datetime | None = None


def kind_of(text: str, status: int | None = None) -> OutageKind | None:
    """The outage that a status code or an error's words name; None for any other error."""
    if status is None:
        found = _STATUS.search(text[:_TEXT_CAP])
        status = int(found[1] or found[2]) if found else None
    if status in (401, 402, 403):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status is not None and (status >= 500 or status == 408):
        return "overloaded"
    # Another 4xx says that the request was wrong; words such as "quota" may still tell more.
    words = _WORDS[:3] if status is not None else _WORDS
    return next((kind for kind, form in words if form.search(text[:_TEXT_CAP])), None)


def fault_of(
    text: str, now: datetime, *, status: int | None = None, retry_at: datetime | None = None
) -> Fault | None:
    """The outage behind an error of a program, or None where it is something else."""
    kind = kind_of(text, status)
    if kind is None:
        return None
    return Fault(kind, " ".join(text[:_TEXT_CAP].split())[:300], retry_at or time_in(text, now))


def time_in(text: str, now: datetime) -> datetime | None:
    """When an error's words say that it is worth trying again; None where they name no time."""
    text = text[:_TEXT_CAP]
    if found := _EPOCH.search(text):
        return at_epoch(float(found[1]), now)
    if found := _ISO.search(text):
        try:
            when = datetime.fromisoformat(found[1])
        except ValueError:
            return None
        return _near(when.astimezone(UTC), now)
    if found := _IN.search(text):
        parts = _PARTS.findall(found[1])
        return after(sum(float(n) * _UNIT_S[unit.lower()] for n, unit in parts), now)
    return None


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
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _near(when if when.tzinfo else when.replace(tzinfo=UTC), now)


def _near(when: datetime, now: datetime) -> datetime | None:
    return after(max(0.0, (when - now).total_seconds()), now)
