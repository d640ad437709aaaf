"""What a program's error is about: the login, a limit, the service or the way there; and how long.

Read from a status code where there is one, else from the words of the error. Only what a program
reports as its error comes here, never what a model says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestration.agents.base import OutageKind
from orchestration.agents.times import TEXT_CAP, time_in

_STATUS = re.compile(
    r"(?:status(?:.?code)?|error|code|rejected|http(?:/[\d.]{1,3})?)\"?[\s:=(]{1,3}(4\d\d|5\d\d)\b"
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
        r"rate.?limit|too many requests|usage limit|quota|resource.?exhausted|throttl"
        r"|limit (?:reached|exceeded)|(?:hit|reached|exceeded) (?:your|the) [\w -]{0,30}limit",
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
_SAYS_ERROR = re.compile(
    r"^\W*(?:[\w.]*(?:error|exception)|fatal)\W*:|please run /login"
    r"|\b(?:401|403|429|5\d\d) (?:unauthorized|forbidden|too many|internal|bad g|service|gateway)"
    r"|\[(?:error|fatal)\]|\blevel=(?:error|fatal)|^\S+\s+(?:error|warn)\s"
    r"|\b(?:failed|retrying)\b.{0,60}\bstatus:? [45]\d\d\b"
    r"|^\W*(?:you(?:['’]ve| have) )?(?:hit|reached|exceeded) (?:your|the) [\w -]{0,30}limit"
    r"|^\W*(?:[\w-]+ ){0,3}(?:limit|quota) (?:reached|exceeded)"
    # An object of JSON that is about an error: a key of that name, or a kind that names one.
    r"|\"(?:is_?)?error\"\s{0,3}:\s{0,3}(?!null|false|0|\"\"|\{\}|\[\])"
    r"|\"(?:type|level|event|status|kind)\"\s{0,3}:\s{0,3}\"[^\"]{0,40}(?:error|fail|limit|reject)",
    re.IGNORECASE,
)
_WORDS = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _FORMS)


@dataclass(frozen=True)
class Fault:
    """One outage: its kind, the program's words, and when it is over, if that was named."""

    kind: OutageKind
    text: str
    retry_at: datetime | None = None


def kind_of(text: str, status: int | None = None) -> OutageKind | None:
    """The outage that a status code or an error's words name; None for any other error."""
    if status is None:
        found = _STATUS.search(text[:TEXT_CAP])
        status = int(found[1] or found[2]) if found else None
    if status in (401, 402, 403):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status is not None and (status >= 500 or status == 408):
        return "overloaded"
    # Another 4xx says that the request was wrong; words such as "quota" may still tell more.
    words = _WORDS[:3] if status is not None else _WORDS
    return next((kind for kind, form in words if form.search(text[:TEXT_CAP])), None)


def last_fault(lines: Sequence[str], now: datetime, *, failed: bool) -> Fault | None:
    """The outage that the last lines of an output name.

    Unless the program `failed`, only a line counts that reads as an error, or that names a limit
    and the time when it ends; a model may say anything about errors.
    """
    told = [
        fault
        for line in lines
        if (fault := fault_of(line, now)) and (failed or fault.retry_at or says_error(line))
    ]
    if not told:
        return None
    # The last error is why it ended; a time may stand in a line of its own beside it.
    found = told[-1]
    return found if found.retry_at else replace(found, retry_at=time_in("\n".join(lines), now))


def says_error(line: str) -> bool:
    """Whether a line of output reads as an error of the program, not as words of a model."""
    return bool(_SAYS_ERROR.search(line[:TEXT_CAP]))


def fault_of(
    text: str, now: datetime, *, status: int | None = None, retry_at: datetime | None = None
) -> Fault | None:
    """The outage behind an error of a program, or None where it is something else."""
    kind = kind_of(text, status)
    if kind is None:
        return None
    return Fault(kind, " ".join(text[:TEXT_CAP].split())[:300], retry_at or time_in(text, now))
