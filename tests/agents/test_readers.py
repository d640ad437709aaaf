"""Readers never raise, whatever a program prints."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.agents import faults, times
from orchestration.agents.claude import ClaudeReader

sys.path.append(str(Path(__file__).parents[2] / "scripts/benchmarks"))

import fuzz_agents
from fuzz_agents import READERS, sound

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", [*sorted(READERS), "custom"])
def test_ten_thousand_spoilt_lines(name: str) -> None:
    assert fuzz_agents.fuzz(name, 10_000, seed=7) == []


@pytest.mark.proof
@pytest.mark.parametrize("name", [*sorted(READERS), "custom"])
def test_a_hundred_thousand_spoilt_lines(name: str) -> None:
    assert fuzz_agents.fuzz(name, 100_000, seed=7) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize("name", sorted(READERS))
@settings(max_examples=200, deadline=None)
@given(lines=st.lists(JSON.map(json.dumps) | st.text(), max_size=5))
def test_any_lines(name: str, lines: list[str]) -> None:
    reader = READERS[name](lambda: NOW)
    for line in lines:
        reader.line(line)
    sound(reader)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_error(text: str) -> None:
    faults.fault_of(text, NOW)
    times.retry_after(text, NOW)


@pytest.mark.parametrize(
    ("words", "kind", "seconds"),
    [
        ("unexpected status 401 Unauthorized: x", "auth", None),
        ("Please try again in 1h2m", "None", 3720),
        ("Rate limit reached for gpt in x. Please try again in 1.5s.", "rate_limit", 1.5),
        ("Claude AI usage limit reached|1795867260", "rate_limit", 60),
        ("You've hit your usage limit. Try again in 2 days 3 hours", "rate_limit", 183600),
        ("litellm.RateLimitError: x; Retrying in 0.2 seconds...", "rate_limit", 0.2),
        ("limit resets 2026-11-28T12:01:00Z: quota", "rate_limit", 60),
        ("503 Service Unavailable", "overloaded", None),
        ("getaddrinfo ENOTFOUND api.example.org", "network", None),
        ("status 400: prompt is too long", "None", None),
        ("I read 429 lines", "None", None),
        ("fork: [Errno 11] Resource temporarily unavailable", "None", None),  # this machine's limit
    ],
)
def test_what_errors_say(words: str, kind: str, seconds: float | None) -> None:
    assert str(faults.kind_of(words)) == kind
    when = times.time_in(words, NOW)
    assert when == (None if seconds is None else NOW + timedelta(seconds=seconds))


# NOW is Saturday 2026-11-28, 12:00 UTC.
@pytest.mark.parametrize(
    ("words", "when"),
    [
        ("Rate limit exceeded. Try again in 3h 12m", "28T15:12:00"),
        ("usage limit: try again in 1 day, 2 hours and 3 minutes", "29T14:03:00"),
        ("Your quota will reset after 10h12m30s.", "28T22:12:30"),
        ("stream disconnected - retrying sampling request (1/5 in 3600s)...", "28T13:00:00"),
        ("You've hit your limit · resets 3pm (UTC)", "28T15:00:00"),
        ("You've hit your limit · resets 3:30 PM (America/New_York)", "28T20:30:00"),
        ("limit reached ∙ resets 9am (UTC)", "29T09:00:00"),  # it was nine this morning
        ("limit reached, resets at 15:45 UTC", "28T15:45:00"),
        ("Weekly limit reached · resets Nov 30 at 5am (UTC)", "30T05:00:00"),
        ("Weekly limit reached · resets Mon 9am (UTC)", "30T09:00:00"),
        ("limit reached · resets tomorrow at 9am (UTC)", "29T09:00:00"),
        ("You've hit your usage limit. Try again at Nov 29th, 2026 3:05 PM.", "29T15:05:00"),
        ("retry-after: 3600", "28T13:00:00"),
        ("< Retry-After: Sat, 28 Nov 2026 12:30:00 GMT", "28T12:30:00"),
        ('{"status": 429, "headers": {"retry-after": "3600"}}', "28T13:00:00"),
        ('"headers": {"retry-after-ms": "90000"}', "28T12:01:30"),
        ('{"error": {"type": "rate_limit", "resets_at": 1795872000000}}', "28T13:20:00"),
        ('{"error": "rate limited", "resetsAt": 1795872000}', "28T13:20:00"),
        ('{"error": "rate limited", "reset": "2026-11-28T13:20:00Z"}', "28T13:20:00"),
        ('{"msg": "{\\"reset_at\\": \\"2026-11-28T15:20:00.5+02:00\\"}"}', "28T13:20:00"),
        ('{"error": {"resets_in_seconds": 600}}', "28T12:10:00"),
        ('{"error": {"retry_after_ms": 90000}}', "28T12:01:30"),
        ('{"@type": "google.rpc.RetryInfo", "retryDelay": "34.5s"}', "28T12:00:34"),
        ("x-ratelimit-reset: 1795872000", "28T13:20:00"),
        ('{"resetTime": 1795872000000}', "28T13:20:00"),
        ("x-ratelimit-reset-requests: 6m0s", "28T12:06:00"),
        ("available again at 2026-11-28 13:20 UTC", "28T13:20:00"),
        ("retry after: 2h", "28T14:00:00"),
    ],
)
def test_the_time_that_an_error_names_in_whatever_form(words: str, when: str) -> None:
    found = times.time_in(words, NOW)
    assert found is not None and f"{found.isoformat()}"[8:19] == when


@pytest.mark.parametrize(
    "words",
    [
        "resets the counter at 3 places",
        "retry: 5 attempts left",
        "try again later",
        "resets 25pm (UTC)",
        "resets 3pm (Nowhere/Land)",
        "resets Feb 31 at 5am (UTC)",
        '{"resets_at": null}',
        '{"resets_at": 99999999999999999999}',
        "Retry-After: never",
        "the limit resets weekly",
    ],
)
def test_what_names_no_time(words: str) -> None:
    found = times.time_in(words, NOW)
    assert found is None or words.endswith("Land)")  # an unknown zone: this machine's own


def test_a_retry_after_header() -> None:
    assert times.retry_after("120", NOW) == NOW + timedelta(seconds=120)
    assert times.retry_after("Sat, 28 Nov 2026 12:00:30 GMT", NOW) == NOW + timedelta(seconds=30)
    assert times.retry_after("-3", NOW) is None


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        ("API Error: Failed to parse JSON", None, "network"),
        ("API Error: something quite new", None, "network"),
        ("API Error: 400 prompt is too long", 400, None),
    ],
)
def test_what_claude_calls_an_error_of_the_service_is_an_outage(
    text: str, status: int | None, kind: str | None
) -> None:
    reader = ClaudeReader()
    told = {"type": "result", "subtype": "success", "is_error": True, "result": text,
            "api_error_status": status, "terminal_reason": "api_error"}  # fmt: skip
    reader.line(json.dumps(told))
    assert (reader.fault.kind if reader.fault else None) == kind
