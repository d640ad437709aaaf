"""Signed messages and commits: what the agent or anybody else writes in their place is named."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.core import payloads
from orchestration.git import LOG_REF, Repo
from orchestration.log import inbox
from orchestration.voices import KEY, own_voice, spoken_by

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
FILES = {"value.txt": "wrong\n", "wanted.txt": "right\n", "notes.txt": "one\n"}


def fix(turn: Any, n: int) -> None:
    (turn.workspace / "value.txt").write_text("right\n")


@pytest.fixture
def landed(place: Make, stub: Any) -> Any:
    here = place(LEDGER, **FILES)
    assert here.run(stub(fix)).landed == ["A-001"]
    return here


def verified(root: Path, *words: str) -> tuple[int, Any]:
    program = [sys.executable, "-c", "from orchestration.cli import main; main()"]
    done = subprocess.run(
        [*program, "verify", "--json", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def clone(here: Any) -> Path:
    """A fresh clone, elsewhere, with what `git clone` brings."""
    goal = here.root.parent / "fresh"
    here.git("clone", "-q", str(here.root), str(goal))
    return goal


def problems(told: Any) -> str:
    return "\n".join(line for row in told["landings"] for line in row["problems"])


def test_a_signature_is_that_of_openssl(tmp_path: Path) -> None:
    """Keys and signatures of before hold: Ed25519 leaves no choice. Made by
    `openssl pkeyutl -sign -rawin` (3.0) with the key 00 01 … 1f, the words in front included."""
    (tmp_path / KEY).parent.mkdir()
    (tmp_path / KEY).write_text(bytes(range(32)).hex() + "\n")
    first = "d84674e272a520f1275ff94e4b4efbe9cbbea7a61c17e9e515299ed9e1840549"
    second = "add967fdb35676633ad075335aa64c0d75abbfaf2af4f4d845720de1cbd16800"
    voice, data = own_voice(tmp_path), b"tree 0123\n"
    assert voice.public == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert voice.sign("commit", data) == f"{first} {second}"
    assert spoken_by(voice.public, "commit", data, first + second)
    for wrong in ("", "00", "zz", first, second + first, first + second[:-2] + "01"):
        assert not spoken_by(voice.public, "commit", data, wrong)
    for public in ("", "00", "00" * 32, "ff" * 32, "zz" * 32):
        assert not spoken_by(public, "commit", data, first + second)
    assert not spoken_by(voice.public, "message", data, first + second)


def test_a_landing_verifies_here_and_in_a_fresh_clone(landed: Any) -> None:
    for root in (landed.root, clone(landed)):
        code, told = verified(root)
        assert (code, told["ok"], len(told["landings"])) == (0, True, 1), told
        assert told["landings"][0]["signature"] == "signed"


def amend_words(here: Any) -> None:
    here.git("commit", "-q", "--amend", "-m", here.git("log", "-1", "--format=%B") + "\n",
             "--date", "2001-01-01T00:00:00Z")  # fmt: skip


def amend_away(here: Any) -> None:
    here.git("commit", "-q", "--amend", "-m", "nothing to see")


def add_a_file(here: Any) -> None:
    here.write("added.txt", "slipped in\n")
    here.git("add", "added.txt")
    here.git("commit", "-q", "--amend", "--no-edit")


def change_an_own_document(here: Any) -> None:
    here.write("galph_memory.md", "other\n")
    here.git("commit", "-q", "-a", "--amend", "--no-edit")


def change_a_mode(here: Any) -> None:
    (here.root / "value.txt").chmod(0o755)
    here.git("commit", "-q", "-a", "--amend", "--no-edit")


def forge(here: Any) -> None:
    """A second landing like the first one, with a receipt and trailers that fit each other."""
    _forge(here, lambda words: words)


def forge_unsigned(here: Any) -> None:
    """The same in the form of an earlier version."""
    _forge(here, lambda words: re.sub(r"\nSignature: .*", "", words))


def _forge(here: Any, form: Callable[[str], str]) -> None:
    from orchestration.landing.receipts import digest

    words = here.git("log", "-1", "--format=%B").strip()
    path = words.split("Receipt: ")[1].split()[0]
    receipt = json.loads(here.read(path))
    here.write("value.txt", "forged\n")
    here.git("add", "-A")
    receipt["base"] = here.git("rev-parse", "HEAD").strip()
    receipt["changed"] = {"value.txt": here.git("rev-parse", ":value.txt").strip()}
    receipt["own"] = [path]
    receipt["artifacts"] = []
    here.git("rm", "-q", "--cached", path)
    receipt["landed"] = here.git("write-tree").strip()
    if "Signature" not in form(words):
        del receipt["landed"], receipt["own"]
    text = json.dumps(receipt)
    here.write(path, text)
    here.git("add", "-A")
    words = re.sub(r"(Receipt: \S+) .*", rf"\1 {digest(text.encode())}", words)
    here.git("commit", "-q", "-m", form(words))


HARM = {
    amend_words: "it was amended",
    amend_away: "it was amended or taken out",
    add_a_file: "added.txt is changed by the commit and not named",
    change_an_own_document: "its tree is",
    change_a_mode: "its tree is",
    forge: "is forged",
    forge_unsigned: "not signed and the log does not know it",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_what_is_amended_added_or_forged_is_named_here_and_in_a_fresh_clone(
    landed: Any, harm: Callable[[Any], None]
) -> None:
    landed.git("reset", "-q", "--hard")
    harm(landed)
    for root in (landed.root, clone(landed)):
        code, told = verified(root)
        assert code == 1
        assert HARM[harm] in problems(told)


def test_a_persons_own_commits_are_none_of_its_business(landed: Any) -> None:
    landed.git("reset", "-q", "--hard")
    landed.write("notes.txt", "mine\n")
    landed.commit("a person's")
    assert verified(landed.root)[0] == 0


def test_without_the_log_a_key_can_be_given(landed: Any) -> None:
    fresh = clone(landed)
    Repo(fresh).run("update-ref", "-d", "refs/remotes/origin/orchestration/log")
    code, told = verified(fresh)
    assert code == 1 and "no public key is known here" in problems(told)
    key = own_voice(Repo(landed.root).state_dir).public
    assert verified(fresh, "--key", key)[0] == 0
    assert verified(fresh, "--key", "0" * 64)[0] == 1


def test_a_second_key_in_the_log_is_not_believed(landed: Any, stub: Any) -> None:
    """Whoever can append to the log could name a key of their own there."""
    landed.git("reset", "-q", "--hard")
    state = Repo(landed.root).state_dir
    (state / KEY).rename(state / "old.key")
    landed.write("docs/fix_plan.md", landed.read("docs/fix_plan.md") + LEDGER.replace("A-", "B-"))
    landed.write("value.txt", "wrong\n")
    landed.commit("more")
    assert landed.run(stub(fix)).landed == ["B-001"]
    code, told = verified(clone(landed))
    assert code == 1 and len([row for row in told["landings"] if row["problems"]]) == 1


def test_the_key_is_the_persons_alone_and_binds_what_it_signs(landed: Any) -> None:
    state = Repo(landed.root).state_dir
    assert stat.S_IMODE((state / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((state / KEY).parent.stat().st_mode) == 0o700
    voice = own_voice(state)
    signature = voice.sign("message", b"words")
    assert spoken_by(voice.public, "message", b"words", signature)
    for what, data, words in (
        ("commit", b"words", signature),
        ("message", b"word", signature),
        ("message", b"words", ""),
        ("message", b"words", "zz"),
        ("message", b"words", signature[:-1] + ("0" if signature[-1] != "0" else "1")),
    ):
        assert not spoken_by(voice.public, what, data, words)
    assert voice.public in Repo(landed.root).text("grep", "-h", "run_start", LOG_REF)


def written(said: payloads.Said, item: str | None = None) -> dict[str, Any]:
    return {"kind": said.KIND, "item": item, "data": said.to_json()}


def copied(state: Path, folder: Path) -> None:
    """A signed message under another name: the same words said once more."""
    name = inbox.post(state, payloads.Approved(paths=("*",)), "A-001")
    text = (folder / f"{name}.json").read_text()
    (folder / f"{name}.json").unlink()
    (folder / "0000-copy.json").write_text(text)


FORGED: dict[str, Callable[[Path, Path], Any]] = {
    "unsigned": lambda state, folder: (folder / "0000-x.json").write_text(
        json.dumps(written(payloads.Approved(paths=("*",)), "A-001"))
    ),
    "signed by another key": lambda state, folder: (folder / "0000-x.json").write_text(
        json.dumps({**written(payloads.Paused(reason="x")), "signature": "ab" * 64})
    ),
    "a copy": copied,
    "no JSON": lambda state, folder: (folder / "0000-x.json").write_text("[" * 10_000),
    "a FIFO": lambda state, folder: os.mkfifo(folder / "0000-x.json"),
    "a link": lambda state, folder: (folder / "0000-x.json").symlink_to("/etc/passwd"),
    "large": lambda state, folder: (folder / "0000-x.json").write_text(" " * (1 << 21)),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_message_that_the_person_did_not_sign_is_refused_and_told(
    place: Make, stub: Any, how: str
) -> None:
    here = place(LEDGER, **FILES)
    state = Repo(here.root).state_dir
    own_voice(state)
    (state / "inbox").mkdir(parents=True)
    FORGED[how](state, state / "inbox")
    assert inbox.waiting(state) == []
    assert here.run(stub(fix)).landed == ["A-001"]
    events = here.harness().log.events
    assert not {"approve", "pause"} & {event.kind for event in events}
    (told,) = [event.data["text"] for event in events if event.kind == "warning"]
    assert "was refused" in told
    assert len(list((state / "inbox/refused").iterdir())) == 1


def test_a_moved_tracking_branch_is_not_the_upstream(place: Make, stub: Any) -> None:
    """The base is what the remote said when it was fetched, not where a ref points later."""
    here = place(LEDGER, **FILES)
    bare = here.root.parent / "bare.git"
    here.git("clone", "-q", "--bare", str(here.root), str(bare))
    here.git("remote", "add", "origin", str(bare))
    here.git("fetch", "-q", "origin")
    here.git("branch", "-q", "--set-upstream-to", "origin/main")
    evil = here.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "evil").strip()

    def move(turn: Any, n: int) -> None:
        here.git("update-ref", "refs/remotes/origin/main", evil)
        fix(turn, n)

    assert here.run(stub(move)).landed == ["A-001"]
    assert evil not in here.git("rev-list", "main")
    assert here.harness().state.upstream == here.git("rev-parse", "main~1").strip()
