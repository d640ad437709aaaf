"""Feed generated documents to every reader, edit and rewriter: `fuzz_documents.py --examples N`.

Prints one JSON object with the number of inputs and of failures (tracebacks, lost bytes, changed
meaning, a refused or unstable canonical form). The inputs are Hypothesis's own: binary junk, lines
of the grammar in any order, the fixtures with random damage, known keys with odd values.
docs/evidence/reliability.md quotes the last count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from orchestration.documents import kinds, ledger, order
from orchestration.documents.findings import reader as findings
from orchestration.documents.fix import canonical, missing_lines
from orchestration.documents.grammar import DocumentError
from orchestration.documents.memory import reader as memory
from orchestration.documents.order import ValidationContext
from orchestration.documents.past import memory_stats
from orchestration.documents.plan import reader as plan
from orchestration.documents.plan import summary

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "documents"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(FIXTURES.glob("*.md"))]
TEXTS = [text[:2500] for text in TEXTS]
LINES = sorted({line for text in TEXTS for line in text.split("\n")}) + [
    "\ufeff", "#" * 9, "\x00", "\x0c", "\u2028", "- " * 40,
    "> " * 40, "|" * 60, "`" * 50, "*" * 50,
    "[" * 40, "(" * 40, "{a,{b,c}" * 9, "- [ ] C1 `", "focus=", "- Status:", "\ud800",
    "<!--", "-->",
]  # fmt: skip

# What stands before a value in a document, and what a value may be made of.
BEGINNINGS = sorted(
    {
        line[: line.index(mark) + len(mark)]
        for line in LINES
        for mark in (":", "`", "— ", "| ", "# ")
        if mark in line
    }
)
MARKS = [*"`*_[](){}:—-|~#>\"'\\,;.= \t\xa0", "A-1", "a.py", "::f", "none", "1", "--", "within: "]


def damaged(text: str, at: int, length: int, new: str) -> str:
    """Return ``text`` with a piece of it replaced."""
    start = at % (len(text) + 1)
    return text[:start] + new + text[start + length :]


DOCUMENTS = st.one_of(
    st.binary(max_size=300).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.text(max_size=200),
    st.builds(
        lambda lines, end: end.join(lines),
        st.lists(st.sampled_from(LINES), max_size=25),
        st.sampled_from(["\n", "\r\n", "\r"]),
    ),
    st.builds(
        damaged,
        st.sampled_from(TEXTS),
        st.integers(0, 20000),
        st.integers(0, 200),
        st.one_of(st.text(max_size=30), st.sampled_from(LINES)),
    ),
    st.lists(
        st.builds(
            lambda begin, marks: begin + "".join(marks),
            st.sampled_from(BEGINNINGS),
            st.lists(st.sampled_from(MARKS), max_size=6),
        ),
        max_size=9,
    ).map("\n".join),
)


def check(text: str) -> None:
    """Read, check, render and edit one text; AssertionError or any other error is a failure.

    It is rewritten as one of the six kinds, which its bytes choose.
    """
    for kind in kinds.KINDS:
        for found in kinds.check_document(kind, text, ValidationContext(exists=lambda p: False)):
            found.render().encode("utf-8")
            json.dumps(found.as_dict())
    kind = kinds.KINDS[zlib.crc32(text.encode("utf-8", "surrogatepass")) % len(kinds.KINDS)]
    new = canonical(kind, text, "x.md")
    assert canonical(kind, new, "x.md") == new
    assert not missing_lines(text, new)
    read = order.parse_order(text)
    again = order.parse_order(order.render_order(read))
    order.content_hash(again)
    memory_stats(memory.parse_memory(text))
    plan.parse_plan(text)
    summary.parse_summary(text)
    findings.search(findings.parse_findings(text), ["a"], ["b.py"])
    for item in ledger.parse_ledger(text).items[:2]:
        try:
            new = ledger.set_status(text, item.id, "blocked", "why")
            ledger.append_attempt(new, item.id, ledger.Attempt(turn=1, outcome="landed"))
        except DocumentError:
            continue
        if item.status_span:
            start, end = ledger.parse_ledger(text).item(item.id).status_span or (0, 0)
            assert new.startswith(text[:start]) and new.endswith(text[end:])


def main() -> int:
    """Run the inputs and print the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="how many documents")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the generator")
    options = parser.parse_args()
    done, failures, began = 0, [], time.monotonic()
    round_number = options.seed
    while done < options.examples and len(failures) < 5:
        counted = [0]

        def one(text: str) -> None:
            counted[0] += 1  # noqa: B023
            check(text)

        batch = min(2500, options.examples - done)
        run = given(DOCUMENTS)(one)
        run = settings(
            max_examples=batch,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(run)
        try:
            seed(round_number)(run)()
        except Exception as error:
            notes = " ".join(getattr(error, "__notes__", []))
            failures.append(f"seed {round_number}: {type(error).__name__}: {error} {notes}"[:1500])
            print(failures[-1], file=sys.stderr)
        done += counted[0]
        round_number += 1
        print(f"{done} inputs, {len(failures)} failures", file=sys.stderr)
    print(
        json.dumps(
            {
                "inputs": done,
                "failures": failures,
                "seed": options.seed,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
