"""`make proofs`: runs what it lists, keeps what is finished, and a failed proof is a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "scripts/benchmarks"))

import proofs  # noqa: E402

COUNTS = (
    "from pathlib import Path; p = Path({0!r}); n = len(p.read_text()) if p.exists() else 0; "
    "p.write_text('x' * (n + 1)); print('noise'); print('{{\"runs\":', n + 1); print('}}')"
)


def proof(name: str, code: str) -> proofs.Proof:
    return proofs.Proof(name, ("python", "-c", code), proofs.picked("runs"))


def test_a_table_is_written_what_is_finished_is_kept_and_a_failure_is_one(tmp_path: Path) -> None:
    page, counter = tmp_path / "page.md", tmp_path / "counter"
    page.write_text(f"before\n{proofs.MARKS[0]}\nold\n{proofs.MARKS[1]}\nafter\n")
    every = [
        proof("good", COUNTS.format(str(counter))),
        proof("bad", "print('{\"runs\": 7}'); raise SystemExit(3)"),
        proof("dumb", "print('nothing')"),
    ]
    words = ["--results", str(tmp_path / "kept"), "--write", str(page)]
    assert proofs.main(words, every) == 1
    assert proofs.main([*words, "--only", "good"], every) == 0
    assert counter.read_text() == "x", "a finished proof ran again at the same commit"
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "\nold\n" not in text
    rows = [
        [c.strip() for c in line.split(" | ")] for line in text.splitlines() if line[:2] == "| "
    ]
    found = {row[0].strip("| "): (row[2], row[3]) for row in rows[1:]}
    assert found["good"] == ("runs 1", "0")
    assert found["bad"] == ("runs 7", "3")
    assert found["dumb"][0].startswith("no result") and found["dumb"][1] == "1"
    assert "`python -c" in text


def test_rows_of_other_runs_stay_on_the_page(tmp_path: Path) -> None:
    """A proof that another clone measured keeps its row; a stale file takes none."""
    page = tmp_path / "page.md"
    page.write_text(
        f"{proofs.MARKS[0]}\n| proof | command | found | exit | seconds | day | commit |\n"
        f"|---|---|---|---|---|---|---|\n| bad | `x` | runs 1 | 0 | 9 | today | abc |\n"
        f"| gone | `x` | runs 1 | 0 | 9 | today | abc |\n{proofs.MARKS[1]}\n"
    )
    every = [
        proof("good", "print('{\"runs\": 2}')"),
        proof("bad", "print('{\"runs\": 7}'); raise SystemExit(3)"),
    ]
    words = ["--results", str(tmp_path / "kept"), "--write"]
    assert proofs.main([*words, str(tmp_path / "page.md"), "--only", "good"], every) == 0
    text = page.read_text()
    assert "| bad | `x` | runs 1 | 0 | 9 | today | abc |" in text
    assert text.index("| good |") < text.index("| bad |")
    assert "| gone |" not in text, "a proof that is no longer listed"
    other = tmp_path / "other.md"
    other.write_text(page.read_text())
    assert proofs.main([*words, str(other), "--only", "bad"], every) == 1
    assert proofs.main([*words, str(page), "--only", "good"], every) == 0
    assert "runs 7" in other.read_text() and "runs 7" not in page.read_text()


def test_every_proof_can_be_started() -> None:
    """The scripts are there and know the flags that they are given."""
    for each in proofs.PROOFS:
        names = [word for word in each.argv if word.endswith(".py")]
        assert all((ROOT / name).is_file() for name in names), each
        if names and names[0].startswith("scripts/"):
            text = (ROOT / names[0]).read_text(encoding="utf-8")
            flags = [word for word in each.argv if word.startswith("--")]
            assert all(f'"{flag}"' in text for flag in flags), each
    assert proofs.MARKS[0] in proofs.PAGE.read_text(encoding="utf-8")


def test_an_unknown_proof_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        proofs.main(["--only", "kils"])
    assert stopped.value.code == 2
    assert "no such proof: kils; expected: kills" in capsys.readouterr().err
