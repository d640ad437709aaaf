"""Credentials in diffs and logs. The samples are assembled here, so that no file holds one."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.gates.secrets import entropy_bits, redact, scan_diff, scan_text

BODY = "Zx81Qw9Lk3Vb7Nm2Rt6Yp4Hs0Gd5Jf8Cc1Aa2"
SAMPLES = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS access key": "AKIA" + "QW9LK3VB7NM2RT6Y",
    "GitHub token": "ghp_" + BODY[:36],
    "GitLab token": "glpat-" + BODY[:20],
    "Anthropic key": "sk-ant-" + BODY,
    "OpenAI key": "sk-proj-" + BODY,
    "Google API key": "AIza" + BODY[:35],
    "Slack token": "xoxb-" + BODY[:24],
    "Hugging Face token": "hf_" + BODY[:34],
    "npm token": "npm_" + BODY[:36],
    "Stripe key": "sk_live_" + BODY[:24],
    "JSON web token": f"eyJ{BODY[:20]}.eyJ{BODY[:20]}.{BODY[:20]}",
    "password in a URL": "postgres://app:" + "s3cr3tpw@db.local/x",
    "assigned secret": "API_KEY = '" + BODY[:24] + "'",
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_kind_is_found_shown_safely_and_redacted(kind: str) -> None:
    text = f"line one\n  value: {SAMPLES[kind]} end\n"
    leaks = scan_text(text, "log")
    assert kind in {leak.kind for leak in leaks}
    assert leaks[0].line == 2
    assert BODY[5:15] not in str(leaks[0])
    clean = redact(text)
    assert "[redacted" in clean
    assert clean.startswith("line one\n  value: ")
    assert BODY[5:15] not in clean
    assert "s3cr3tpw" not in clean


@pytest.mark.parametrize(
    "line",
    [
        "password = getpass.getpass()",
        "api_key = os.environ['API_KEY']",
        "token: your-token-here-example",
        "secret = xxxxxxxxxxxxxxxxxxxx",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "sha256 = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "https://example.org/path?x=1",
        "git clone ssh://git@github.com/a/b",
        "password: hunter2 is short",
        "def test_secret_sharing_protocol_v2(): pass",
    ],
)
def test_ordinary_lines_are_left_alone(line: str) -> None:
    assert scan_text(line) == []
    assert redact(line) == line


def test_only_added_lines_of_a_diff_count() -> None:
    secret = SAMPLES["GitHub token"]
    diff = (
        "--- a/old.py\n+++ b/conf/new.py\n@@ -1,2 +10,3 @@\n same\n"
        f"-old = '{secret}'\n+x = 1\n+new = '{secret}'\n"
    )
    leaks = scan_diff(diff)
    assert [(leak.path, leak.line) for leak in leaks] == [("conf/new.py", 12)]


def test_an_added_line_that_looks_like_a_header_is_read() -> None:
    secret = SAMPLES["GitHub token"]
    diff = f"--- a/n.txt\n+++ b/n.txt\n@@ -1,2 +1,3 @@\n same\n--- x\n+++ {secret}\n+end\n"
    assert [(leak.path, leak.line) for leak in scan_diff(diff)] == [("n.txt", 2)]


def test_a_credential_far_out_in_a_line_is_found_and_blacked_out() -> None:
    secret = SAMPLES["GitHub token"]
    for column in (19_990, 20_000, 45_000):
        line = "x" * (column - 1) + " " + secret + " " + "y" * 30_000
        assert [leak.kind for leak in scan_text(line)] == ["GitHub token"]
        assert secret not in redact(line)


@pytest.mark.parametrize("escape", ["\n", "\t", "\r", "\0", "\u2028"])
def test_a_credential_after_an_escape_of_a_json_log_is_found(escape: str) -> None:
    line = json.dumps({"text": f"the key:{escape}{SAMPLES['GitHub token']}"})
    assert [leak.kind for leak in scan_text(line)] == ["GitHub token"]
    assert BODY[5:15] not in redact(line)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n"])
def test_all_of_a_private_key_is_blacked_out(newline: str) -> None:
    lines = [SAMPLES["private key"], BODY * 2, BODY + "==", "-----END RSA " + "PRIVATE KEY-----"]
    clean = redact("before\n" + newline.join(lines) + "\nafter this line\n")
    assert BODY[5:15] not in clean
    assert clean.startswith("before\n") and clean.endswith("\nafter this line\n")


def test_a_key_without_an_end_does_not_take_the_log_with_it() -> None:
    text = f"{SAMPLES['private key']}\n{BODY}\nthe next step: 3 passed\nword\n"
    assert redact(text).endswith("\nthe next step: 3 passed\nword\n")


def test_entropy_of_known_texts() -> None:
    assert entropy_bits("") == 0
    assert entropy_bits("aaaa") == 0
    assert entropy_bits("abcd") == pytest.approx(2.0)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_read_and_redaction_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert len(once.splitlines()) == len(text.splitlines())


def test_a_very_long_line_does_not_take_long() -> None:
    assert scan_text("a" * 2_000_000 + "=" * 1000) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("word", ["sk-", "key.", "a-", "eyJaaaaaaaaaa.", "://", "password=", "\\n"])
def test_a_log_of_one_long_line_is_read_in_linear_time(word: str) -> None:
    """Half a megabyte takes a second; where each beginning of a name is tried, many minutes."""
    scan_text("key " + word * (500_000 // len(word)))


def test_a_large_diff_is_not_held_once_more() -> None:
    lines = "".join(f"+{n:048d}\n" for n in range(60_000))
    diff = f"--- /dev/null\n+++ b/rows.txt\n@@ -0,0 +1,60000 @@\n{lines}"
    tracemalloc.start()
    try:
        assert scan_diff(diff) == []
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
