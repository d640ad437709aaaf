"""No test is lost: every node id of the old layout leads to a test of today, or says why not.

`tests/fixtures/node_ids/f264b61.txt.gz` holds the ids that pytest collected at commit f264b61, the
last one before the tests moved with their rooms. `moved.json` beside it leads from there to here:

- `moved`: the start of an old id and what stands in its place now;
- `renamed`: an old id without its parameters, and today's;
- `removed`: an old id without its parameters, and why the test is not needed any more;
- `fewer`: an old id without its parameters, and why it has fewer cases than it had.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IDS = ROOT / "tests/fixtures/node_ids"
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("demo/*.md"),
    *(path for path in ROOT.glob("plans/**/*.md") if "templates" not in path.parts),
]


def function(node_id: str) -> str:
    """A node id without its parameters (which may hold anything, `::` and spaces included)."""
    return node_id.partition("[")[0].strip()


@pytest.fixture(scope="module")
def today() -> Counter[str]:
    """Today's tests without their parameters, and how many cases each has."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "--assert=plain",
            "-o",
            "addopts=--strict-markers --import-mode=importlib",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Counter(function(line) for line in done.stdout.splitlines() if "::" in line)


def complaints(
    old: Counter[str], now: Counter[str], plan: dict[str, dict[str, str]]
) -> dict[str, str]:
    """What `moved.json` does not explain: the old id and what is wrong with it."""
    found = {}
    for node_id, cases in old.items():
        if plan["removed"].get(node_id):
            if node_id in now:
                found[node_id] = "is listed as removed and is still here"
            continue
        place = plan["renamed"].get(node_id) or next(
            (
                new + node_id.removeprefix(start)
                for start, new in plan["moved"].items()
                if node_id.startswith(start)
            ),
            node_id,
        )
        if place not in now:
            found[node_id] = f"has no test {place}"
        elif now[place] < cases and not plan["fewer"].get(node_id):
            found[node_id] = f"has {now[place]} cases of {cases} at {place}"
    named = {*plan["renamed"], *plan["removed"], *plan["fewer"]}
    return found | dict.fromkeys(named - set(old), "is in moved.json and was never a test")


@pytest.mark.slow
def test_every_old_node_id_leads_to_a_test_or_says_why_not(today: Counter[str]) -> None:
    text = gzip.decompress((IDS / "f264b61.txt.gz").read_bytes()).decode()
    old = Counter(function(line) for line in text.splitlines())
    assert sum(old.values()) == 1860
    assert complaints(old, today, json.loads((IDS / "moved.json").read_text())) == {}


def test_what_the_map_does_not_explain_is_named() -> None:
    plan = {
        "moved": {"tests/a/": "tests/b/"},
        "renamed": {"tests/x.py::test_r": "tests/y.py::test_s", "tests/x.py::test_t": "no.py::t"},
        "removed": {
            "tests/x.py::test_d": "its subject is gone",
            "tests/x.py::test_k": "so it says",
        },
        "fewer": {"tests/x.py::test_f": "two cases were one", "tests/x.py::test_never": "?"},
    }
    old = Counter({f"tests/x.py::test_{letter}": 2 for letter in "rtdkfce"})
    old["tests/a/x.py::test_m"] = 1
    now = Counter({"tests/y.py::test_s": 2, "tests/b/x.py::test_m": 1})
    now |= Counter({f"tests/x.py::test_{letter}": 1 for letter in "kfc"})
    assert complaints(old, now, plan) == {
        "tests/x.py::test_t": "has no test no.py::t",
        "tests/x.py::test_k": "is listed as removed and is still here",
        "tests/x.py::test_c": "has 1 cases of 2 at tests/x.py::test_c",
        "tests/x.py::test_e": "has no test tests/x.py::test_e",
        "tests/x.py::test_never": "is in moved.json and was never a test",
    }


def elsewhere(page: str, path: str) -> bool:
    """Whether a page tells of a test of another project: an example, or the target of an attack.

    Such tests lie directly in `tests`, or in a folder that is no room here.
    """
    folder = ROOT / path.rpartition("/")[0]
    if folder == ROOT / "tests":
        return any(word in page for word in ("specs", "reliability", "tutorial"))
    return "specs" in page and not folder.is_dir()


@pytest.mark.slow
def test_documents_cite_tests_that_exist(today: Counter[str]) -> None:
    cited = {
        (str(path.relative_to(ROOT)), *match)
        for path in DOCUMENTS
        for match in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", path.read_text(encoding="utf-8"))
        if not elsewhere(str(path.relative_to(ROOT)), match[0])
    }
    assert len(cited) > 60
    wrong = {
        (page, path, name)
        for page, path, name in cited
        if not ((ROOT / path).is_file() and (not name or f"{path}::{name}" in today))
    }
    folders = {
        (str(path.relative_to(ROOT)), folder)
        for path in DOCUMENTS
        for folder in re.findall(r"[ `](tests/[\w/]+)(?=[ `\n])", path.read_text(encoding="utf-8"))
    }
    assert len(folders) > 3
    assert wrong | {(page, name) for page, name in folders if not (ROOT / name).is_dir()} == set()


def test_the_lists_of_slow_and_kept_tests_name_tests_that_exist(today: Counter[str]) -> None:
    here = ROOT / "tests"
    slow = [line.partition(" ")[2] for line in (here / "seconds.txt").read_text().splitlines()]
    kept = (here / "kept.txt").read_text().splitlines()
    assert kept and set(kept) <= set(slow), "a test that is kept and costs nothing"
    assert {function(each) for each in slow} <= set(today)
