"""The log, the repository and the receipts that f264b61 wrote are read as that commit read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import harness_pins as pins
import pytest
from orchestration.core.events import KINDS
from orchestration.core.reduce import replay
from orchestration.git import Repo

OLD = "unsigned, of an earlier version"
RECEIPTS = sorted((pins.FIXTURES / "receipts").glob("*.json"))
MADE = json.loads(pins.pinned("made.json"))


def loaded(said: pins.Said) -> Any:
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_the_story_is_long_and_holds_every_kind_that_a_run_can_write() -> None:
    events = pins.events_of(pins.pinned("log.jsonl"))
    assert events[-1].turn >= 40
    # Kinds that came later are not in it: outages of agent programs, reviews of held attempts.
    assert {event.kind for event in events} == KINDS - {
        *("outage", "answer", "again", "upstream", "review")
    }
    verdicts = {event.data["verdict"] for event in events if event.kind == "verdict"}
    assert {"land", "reject", "blocked", "tamper"} <= verdicts
    ends = {event.data["reason"] for event in events if event.kind == "run_end"}
    assert {"BUDGET", "BLOCKED_ON_USER", "TAMPER", "STALLED"} <= ends


def test_every_event_reduces_to_the_same_state() -> None:
    events = pins.events_of(pins.pinned("log.jsonl"))
    # After each event, so that a difference names the event where it begins.
    assert list(pins.prefix_digests(events)) == pins.pinned("prefixes.txt").splitlines()
    assert pins.pretty(pins.state_json(replay(events))) == pins.pinned("state.json")


def test_an_imported_log_is_exported_byte_for_byte(imported: Path) -> None:
    assert pins.orchestrate("log", "export", cwd=imported).out == pins.pinned("log.jsonl")


def test_the_import_is_one_file_a_turn(imported: Path) -> None:
    text = pins.pinned("log.jsonl")
    # The log lies outside of the repository since the state folder moved there.
    files = sorted((Repo(imported).state_dir / "log").glob("*.jsonl"))
    assert "".join(path.read_text() for path in files) == text
    turns = sorted({event.turn for event in pins.events_of(text)})
    assert [path.name for path in files] == [f"{turn:06d}.jsonl" for turn in turns]


def test_status_and_stats_are_rebuilt(imported: Path) -> None:
    status = loaded(pins.orchestrate("status", "--json", cwd=imported))
    assert pins.pretty(pins.without_moment(status)) == pins.pinned("status.json")
    stats = loaded(pins.orchestrate("stats", "--json", cwd=imported))
    then = json.loads(pins.pinned("stats.json"))
    assert {key: stats[key] for key in then} == then  # more may be told, none of it otherwise


def test_a_clone_without_a_log_reads_the_published_one(published: Path) -> None:
    status = loaded(pins.orchestrate("status", "--json", cwd=published))
    assert pins.pretty(pins.without_moment(status)) == pins.pinned("branch_status.json")
    said = pins.orchestrate("log", "export", cwd=published)
    assert said.code == 0 and pins.pinned("log.jsonl").startswith(said.out) and said.out


def test_what_a_person_reads_is_the_same(imported: Path) -> None:
    texts = json.loads(pins.pinned("texts.json"))
    for words, text in texts.items():
        now = pins.orchestrate(*words.split(), cwd=imported).out.splitlines()
        lost = [line for line in text.splitlines() if line not in now]
        assert lost == [], words  # lines may be added, none is lost


def test_the_report_is_rebuilt(imported: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    said = loaded(pins.orchestrate("report", "-o", str(page), "--json", cwd=imported))
    wanted = json.loads(pins.pinned("report.json"))
    assert said["evidence"] == wanted["evidence"]
    assert said["report"] == str(page.resolve())
    rest = {name: value for name, value in said.items() if name != "evidence"}
    assert pins.pretty(pins.without_moment(rest)) == pins.pinned("status.json")
    assert all(item["id"] in page.read_text() for item in said["items"])


def test_verify_says_the_same_of_the_branch_alone(published: Path) -> None:
    wanted = json.loads(pins.pinned("verify.json"))
    said = pins.orchestrate("verify", "--json", cwd=published)
    told = json.loads(said.out)
    # Signatures came later; receipts of then are read as unsigned.
    assert {row.pop("signature") for row in told["landings"]} == {OLD}
    assert (said.code, told) == (wanted["code"], wanted["json"])
    assert wanted["code"] == 0 and len(wanted["json"]["landings"]) >= 15
    text = pins.orchestrate("verify", cwd=published).out
    assert text.replace(f" ({OLD})", "") == wanted["text"]


def test_verify_still_sees_a_changed_receipt(tmp_path: Path) -> None:
    root = pins.clone(tmp_path)
    first = json.loads(pins.pinned("verify.json"))["json"]["landings"][0]
    path = root / first["receipt"]
    pins.git(root, "checkout", "-q", "-b", "forged", first["commit"])
    path.write_text(path.read_text().replace('"turn"', '"Turn"'))
    pins.git(root, "commit", "-q", "-a", "--amend", "--no-edit")
    said = pins.orchestrate("verify", "forged", "--json", cwd=root)
    assert said.code == 1 and not json.loads(said.out)["ok"]


@pytest.mark.parametrize("path", RECEIPTS, ids=[path.stem for path in RECEIPTS])
def test_receipts_are_readable_canonical_and_held_by_their_commits(
    path: Path, published: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    facts = json.loads(text)
    assert facts["schema"] == "orchestration/receipt/1"
    assert pins.pretty(facts) == text
    place = path.with_suffix(".path").read_text().strip()
    assert pins.git(published, "show", f"main:{place}") == text
    digest = hashlib.sha256(text.encode()).hexdigest()
    message = pins.git(published, "log", "-1", "--format=%B", "main", "--", place)
    assert f"Receipt: {place} sha256:{digest}" in message.splitlines()


def test_the_log_can_be_worked_on_from_here(imported: Path) -> None:
    """The next decision, asked of the imported log, is the one that its state calls for."""
    wanted = json.loads(pins.pinned("next.json"))
    said = pins.orchestrate("run", "--dry-run", "--json", cwd=imported)
    assert (said.code, json.loads(said.out)) == (wanted["code"], wanted["json"])
