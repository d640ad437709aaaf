"""One reading of a selector, from the ledger's words to pytest's arguments."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orchestration.core import Selector, of_pytest_command, parse_selector, split_selector
from orchestration.documents.grammar import selector_of, selector_paths
from orchestration.documents.ledger import parse_ledger
from orchestration.gates.guard import GuardSpec, run_guard
from orchestration.gates.selectors import collect

ROOT = Path(__file__).resolve().parents[2]
TABLE = [
    # text, argv for pytest
    ("tests/x.py::test_y", ["tests/x.py::test_y"]),
    ("./tests/ tests/x.py", ["tests", "tests/x.py"]),
    ("tests/x.py::t[a b]", ["tests/x.py::t[a b]"]),
    ("'tests/x.py::t[a b]' tests/z.py", ["tests/x.py::t[a b]", "tests/z.py"]),
    ('"tests/x.py::t[a b]"', ["tests/x.py::t[a b]"]),
    ("tests/x.py::t[a  b] tests/z.py", ["tests/x.py::t[a  b]", "tests/z.py"]),
    ("tests/x.py::t[it's]", ["tests/x.py::t[it's]"]),
    (r"tests/x.py::t[\xe9]", [r"tests/x.py::t[\xe9]"]),
    ("tests/x.py::t[[1, 2], 3] tests/z.py", ["tests/x.py::t[[1, 2], 3]", "tests/z.py"]),
    ("tests/x.py::t[é ü]", ["tests/x.py::t[é ü]"]),
    ("'tests/x y.py'::t", ["tests/x y.py::t"]),
    (r"tests/x\ y.py", ["tests/x y.py"]),
    ("tests/ö.py::test_ü", ["tests/ö.py::test_ü"]),
    ("tests/x.py::t[", ["tests/x.py::t["]),
    ("tests/x.py -k 'a or b' -m slow", ["tests/x.py", "-k", "a or b", "-m", "slow"]),
    ("pytest -q tests/x.py", ["tests/x.py"]),
    ("python -m pytest tests/x.py::t[a b]", ["tests/x.py::t[a b]"]),
]


@pytest.mark.parametrize(("text", "argv"), TABLE)
def test_a_selector_is_read_alike_everywhere(text: str, argv: list[str], tmp_path: Path) -> None:
    selector = parse_selector(text)
    assert list(selector.argv) == argv
    guard = parse_ledger(f"### [A-001] T\n- Status: open\n- Guard: {text}\n").items[0].guard
    assert list(parse_selector(str(guard)).argv) == argv
    assert list(GuardSpec(tmp_path, selector=text).targets()) == selector_paths(text)
    assert parse_selector(selector_of(text) or "").argv == selector.argv
    command = of_pytest_command(["pytest", *shlex.split(str(selector))])
    assert command is not None and command.argv == selector.argv


def test_a_command_with_other_options_is_no_plain_selection() -> None:
    assert of_pytest_command(["pytest", "--maxfail=1", "tests/x.py"]) is None
    assert of_pytest_command(["pytest", "-q"]) is None
    assert of_pytest_command(["make", "tests/x.py"]) is None
    # a shell splits an id at the blanks in its brackets
    found = of_pytest_command(["pytest", "x.py::t[a", "b]", "y.py"])
    assert found == Selector(("x.py::t[a b]", "y.py"))
    assert parse_selector("--lf tests").ignored == ("--lf",)


_NODES = st.builds(
    "{}{}".format,
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1),
    st.sampled_from(["", "::t", "::t[a b]", "::t[\\xe9]"]),
).filter(lambda node: not node.startswith(("-", "./")) and not node.endswith("/"))


@given(st.lists(_NODES, min_size=1), st.text("ab or()'\"", max_size=9))
@example(["pytest", "a"], "")
def test_a_selector_survives_its_own_text(nodes: list[str], keyword: str) -> None:
    selector = Selector(tuple(nodes), keyword)
    read = split_selector(str(selector))
    assert read == list(selector.argv)
    assert parse_selector(read) == selector


@given(st.text(st.sampled_from("a:[]'\"\\ ,é-k"), max_size=30))
def test_any_text_is_read_and_its_canonical_form_means_the_same(text: str) -> None:
    read = parse_selector(split_selector(text))
    assert parse_selector(split_selector(str(read))).argv == read.argv


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["a::" + "[" * 200_000, "[" * 200_000, "a::[x" * 50_000, "'" * 99])
def test_hostile_selectors_take_linear_time(text: str) -> None:
    assert split_selector(text)


PARAMETERS = ["a b", "é ü", "it's", "[1, 2], 3", "x/", "a::b"]
TESTS = f"""import pytest

@pytest.mark.parametrize("word", {PARAMETERS!r})
def test_word(word):
    assert word

def test_other():
    pass
"""


def test_pytest_finds_what_the_ledger_names(tmp_path: Path) -> None:
    (tmp_path / "test_words.py").write_text(TESTS, encoding="utf-8")
    every = collect(tmp_path, "test_words.py", isolation="scan")
    assert len(every) == len(PARAMETERS) + 1
    named = [f"test_words.py::test_word[{word}]" for word in PARAMETERS]
    for written in (named, every[:-1]):
        ledger = f"### [A-001] T\n- Status: open\n- Guard: {' '.join(written)}\n"
        guard = str(parse_ledger(ledger).items[0].guard)
        assert collect(tmp_path, guard, isolation="scan") == every[:-1], guard
    narrowed = collect(tmp_path, "test_words.py -k 'other or nothing'", isolation="scan")
    assert narrowed == ["test_words.py::test_other"]


def test_a_guard_with_a_keyword_runs_only_what_it_names(tmp_path: Path) -> None:
    tests = "def test_one(): pass\n\ndef test_other(): assert False\n"
    (tmp_path / "test_two.py").write_text(tests)
    spec = GuardSpec(tmp_path, selector="test_two.py -k one", isolation="scan", timeout_s=60)
    result = run_guard(spec)
    assert (result.verdict, list(result.nodes)) == ("pass", ["test_two.py::test_one"])


def test_the_page_says_what_selectors_do() -> None:
    page = (ROOT / "docs/specs/globs-and-selectors.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(.+?)` \| `(\[.+\])` \|$", page.partition("## Selectors")[2])
    assert len(rows) >= 8
    for text, argv in rows:
        assert list(parse_selector(text).argv) == json.loads(argv), text
