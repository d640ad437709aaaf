"""Commands are cut once and run without a shell."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestration.documents.grammar.commands import (
    CommandError,
    parse_command,
    parse_duration,
    read_script,
    render_command,
    render_duration,
)


def test_environment_argv_limit_and_tee() -> None:
    command = parse_command(
        'A=1 HUB=$PWD/x pytest tests/a.py -k "a and (b)" -vv | tee "$HUB/x.log" (within: 30m)'
    )
    assert command.env == {"A": "1", "HUB": "$PWD/x"}
    assert command.argv == ("pytest", "tests/a.py", "-k", "a and (b)", "-vv")
    assert (command.within_s, command.tee) == (1800.0, "$HUB/x.log")


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("a | b", "a pipe"), ("a > f", "a redirection"), ("a; b", "`;`"), ("a && b", "`&&`"),
        ("a || b", "`||`"), ("a &", "background"), ("echo $(date)", "substitution"),
        ('echo "`date`"', "substitution"), ("(a)", "subshell"), ("a 2>&1 | tee x | wc", "redirec"),
        ("a\nb", "line break"), ("a 'b", "split"), ("A=1", "empty"), ("", "empty"),
    ],
)  # fmt: skip
def test_what_needs_a_shell_is_refused(text: str, need: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_command(text, line=7)
    assert need in caught.value.what and caught.value.fix


@pytest.mark.parametrize("text", ["grep '|' f", "echo 'a;b' \"c > d\"", r"echo a\;b \| \&"])
def test_quoted_operators_are_words(text: str) -> None:
    assert parse_command(text).argv == tuple(shlex.split(text))


def test_scripts_carry_exports_and_continuations() -> None:
    lines = [
        (1, "# comment"),
        (2, "set -euo pipefail"),
        (3, "export A=1 B='x y'"),
        (4, "pytest t \\"),
        (5, "  -vv"),
        (6, "C=2"),
        (7, "B=z run me"),
    ]
    first, second = read_script(lines)
    assert (first.env, first.argv, first.line) == (
        {"A": "1", "B": "x y"},
        ("pytest", "t", "-vv"),
        4,
    )
    assert second.env == {"A": "1", "B": "z", "C": "2"}


def test_variables_are_filled_only_when_known() -> None:
    command = parse_command("HUB=$PWD/h run ${HUB}/x $NOPE '$PWD'").expanded({"PWD": "/r"})
    assert command.env == {"HUB": "/r/h"}
    assert command.argv[1:3] == ("/r/h/x", "$NOPE")


WORDS = st.lists(st.text(min_size=0, max_size=8).filter(lambda w: "\x00" not in w), max_size=4)


@settings(max_examples=150, deadline=None)
@example([","], 1.0)
@example(["a,"], 90.0)
@given(WORDS, st.sampled_from([None, 1.0, 90.0, 1800.0, 7200.0]))
def test_rendered_commands_read_back(words: list[str], limit: float | None) -> None:
    argv = ["prog", *words]
    text = " ".join(shlex.quote(word) for word in argv)
    try:
        command = parse_command(text, within_s=limit)
    except CommandError:
        assert any(c in text for c in "\n`$") or "within" in text or "tee" in text
        return
    assert list(command.argv) == argv
    again = parse_command(render_command(command))
    assert (again.argv, again.within_s, again.env) == (command.argv, limit, {})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab |;&$'\"\\><()*", max_size=6), min_size=1, max_size=3))
def test_accepted_commands_mean_what_sh_means(words: list[str]) -> None:
    """`sh` itself is the oracle for the cut of what is accepted (no expansion characters)."""
    text = "printf '%s\\n' " + " ".join(words)
    if any(c in text.replace("'%s\\n'", "") for c in "$*"):
        return
    try:
        command = parse_command(text)
    except CommandError:
        return
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    direct = subprocess.run(list(command.argv), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (direct.returncode, direct.stdout)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), ("2d", 172800.0), ("250ms", 0.25)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(render_duration(seconds)) == seconds
    assert parse_duration("soon") is None
