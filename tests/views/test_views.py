"""Views of a real run in a real repository: terminal text, JSON, and the self-contained page."""

from __future__ import annotations

import base64
import json
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `browser`

from browser import chromium, opened, overflow
from orchestration.core import payloads
from orchestration.documents.ledger import parse_ledger
from orchestration.views.evidence import MAX_IMAGE_BYTES, describe, flatten, gather, short
from orchestration.views.model import guard_words, item_view, side_words
from orchestration.views.page import render_page
from orchestration.views.sources import Loaded, load
from orchestration.views.terminal import render_status

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))
HOSTILE = "<script>alert('x')</script>"
LEDGER = f"""# Fix plan

### [MAKE-FIGURE-001] Make a figure and a table {HOSTILE}
- Status: open
- Priority: P0
- Exit:
  - [ ] C1 `test -s $HUB/analysis/figure.png` — the figure is there
- Recipe:
  - run: python make.py $TURN_DIR/analysis
    within: 1m

### [WAIT-FOR-IT-001] Wait for a file
- Status: waiting — On: the beamline; Check: test -e never; Poll: 60s; Until: 2099-01-01
- Exit:
  - [ ] C1 `test -e never` — it came

### [THINK-001] Think about it
- Status: open
- Needs: agent
- Exit:
  - [ ] C1 `test -s thoughts.md` — thoughts are written down

### [BEHIND-001] What comes after thinking
- Status: open
- Depends: THINK-001
- Exit:
  - [ ] C1 `test -f behind.txt` — nothing
"""


def png(width: int = 3) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(width))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


MAKE = f"""
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
(folder / "figure.png").write_bytes(bytes.fromhex("{png().hex()}"))
(folder / "table.csv").write_text("arm,ssim\\na,0.123456\\n<b>,2\\n")
(folder / "numbers.json").write_text(json.dumps({{"deep": {{"value": 1.5}}, "list": [1, 2]}}))
"""


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *names, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the playbook has run until it ended by itself."""
    root = tmp_path_factory.mktemp("views") / "the repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "docs").mkdir()
    (root / "docs/fix_plan.md").write_text(LEDGER)
    (root / "make.py").write_text(MAKE)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    done = subprocess.run([ORCHESTRATE, "run"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 6, done.stdout + done.stderr
    return root


@pytest.fixture(scope="module")
def loaded(root: Path) -> Loaded:
    return load(root)


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(loaded: Loaded) -> Page:
    return Page(render_page(loaded))


def test_items_stand_where_the_run_left_them(loaded: Loaded) -> None:
    groups = {item.id: item.group for item in loaded.view.items}
    assert (
        groups
        == {
            "MAKE-FIGURE-001": "landed",
            "WAIT-FOR-IT-001": "waiting",
            "THINK-001": "blocked",
            "BEHIND-001": "blocked",
        }
        or groups["BEHIND-001"] == "open"
    )
    landed = loaded.view.group("landed")[0]
    assert landed.met == 1 and len(landed.commits) == 1
    assert git(loaded.repo.root, "cat-file", "-t", landed.commits[0]).strip() == "commit"
    assert loaded.view.ended == "BLOCKED_ON_USER"
    assert [turn.item for turn in loaded.view.turns] == ["MAKE-FIGURE-001"]
    assert loaded.view.turns[0].verdict == "land" and loaded.view.turns[0].verified == ("C1",)


def test_spend_that_nobody_reported_is_unknown_not_zero(loaded: Loaded) -> None:
    assert loaded.view.spend["money"] is None and loaded.view.spend["tokens"] is None
    assert "money unknown" in render_status(loaded.view)


def test_status_fits_into_80_columns_and_names_everything(loaded: Loaded) -> None:
    text = render_status(loaded.view)
    assert max(map(len, text.splitlines())) <= 80
    for item in loaded.view.items:
        assert item.id in text
    assert "orchestrate run --agent NAME" in " ".join(text.split())
    assert "the beamline, until 2099-01-01" in text


def test_page_fetches_nothing_and_runs_nothing(page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form"}
    for _, attributes in page.tags:
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href"):
                assert value is not None and value.startswith(("data:image/", "#", "report-turns/"))
    assert HOSTILE in page.text


def test_page_shows_what_landed_waits_and_is_blocked(page: Page) -> None:
    for words in (
        "A person is needed now (BLOCKED_ON_USER)",
        "1 Landed",
        "1 Waiting",
        "needs an agent",
        "Waits for the beamline until 2099-01-01",
        "No turn was spent on it.",
        "land newly verified: C1",
        "deep.value",
    ):
        assert words in page.text
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    shown = [base64.b64decode(str(src).partition(",")[2]) for src in images]
    assert shown == [png(), png()], "on the board and in the turn"
    cells = re.search(r"arm ssim a 0\.1235 <b> 2", page.text)
    assert cells, "the table is shown, escaped, with four digits"


def test_report_command_writes_the_page_and_json(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "page.html"
    words = [ORCHESTRATE, "report", "-C", str(root), "-o", str(target), "--json"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["report"] == str(target) and "</html>" in target.read_text()
    assert {piece["path"].rsplit("/")[-1] for piece in said["evidence"]} >= {
        "figure.png",
        "table.csv",
    }
    assert git(root, "status", "--porcelain") == ""
    plain = subprocess.run([ORCHESTRATE, "report"], cwd=root, capture_output=True, text=True)
    assert Path(plain.stdout.strip()).is_file() and git(root, "status", "--porcelain") == ""


def test_a_run_keeps_the_page_and_says_where(root: Path) -> None:
    """The fixture has run and nothing has asked for a report since."""
    words = [ORCHESTRATE, "report", "--where", "--json"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    said = json.loads(done.stdout)
    page = Path(said["report"])
    assert said["written"] and page.parent.name.startswith("the-repository-")
    text = page.read_text()
    turns = list(page.with_name("report-turns").glob("turn-*.html"))
    assert len(turns) == 1 and f'href="report-turns/{turns[0].name}"' in text
    assert "MAKE-FIGURE-001" in turns[0].read_text()
    assert not root.joinpath("report-turns").exists()


def test_report_rebuilds_in_a_fresh_clone_from_the_published_log(
    root: Path, loaded: Loaded, tmp_path: Path
) -> None:
    clone = tmp_path / "the repository"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    ref = "orchestration/log"
    git(clone, "fetch", "-q", "origin", f"{ref}:{ref}")
    again = load(clone)
    assert again.view.turns == loaded.view.turns
    # The log goes on until the run has ended; the branch has all of it.
    assert again.view.items == loaded.view.items and again.view.ended == loaded.view.ended


def test_a_half_written_last_line_is_not_read(root: Path, loaded: Loaded) -> None:
    last = sorted((loaded.repo.state_dir / "log").glob("[0-9]*.jsonl"))[-1]
    whole = last.read_bytes()
    try:
        last.write_bytes(whole + b'{"seq":')
        assert load(root).view.turns == loaded.view.turns
        assert last.read_bytes() == whole + b'{"seq":'
    finally:
        last.write_bytes(whole)


def test_no_ledger_is_an_error_with_a_fix(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "x").write_text("x")
    git(tmp_path, "add", "x")
    git(tmp_path, "commit", "-q", "-m", "x")
    done = subprocess.run([ORCHESTRATE, "report"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "orchestrate init" in done.stderr
    assert "Traceback" not in done.stderr


def test_marks_that_no_commit_has_written_yet_are_shown(loaded: Loaded) -> None:
    from orchestration.core.state import Mark, State

    state = State()
    state.pending.marks["THINK-001"] = Mark("done", "verified: C1")
    state.pending.ticks.append(["THINK-001", "C1"])
    item = parse_ledger(LEDGER).item("THINK-001")
    assert item is not None
    shown = item_view(item, state)
    assert shown.group == "landed" and shown.met == 1


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.png", png(), "image"),
        ("a.csv", b"a,b\n1,2\n", "table"),
        ("a.csv", b"", "file"),
        ("a.json", b'{"a": [1, 2, {"b": null}]}', "facts"),
        ("a.json", b"{broken", "text"),
        ("a.log", b"\xff\xfe not utf-8", "text"),
        ("a.bin", b"\0\1", "file"),
        ("a.png", bytes(MAX_IMAGE_BYTES + 1), "file"),
    ],
)
def test_evidence_kinds(name: str, data: bytes, kind: str) -> None:
    piece = describe(name, "X-001", data)
    assert (piece.kind, piece.bytes) == (kind, len(data))


def test_evidence_keeps_to_its_limits() -> None:
    rows = "\n".join(f"{n},{n}" for n in range(500)).encode()
    piece = describe("t.csv", "X", b"a,b\n" + rows)
    assert len(piece.rows) == 40 and "40 of 500" in piece.note
    log = describe("t.log", "X", b"x" * 100_000)
    assert len(log.text) == 4_000 and log.note
    big = png(1) + bytes(MAX_IMAGE_BYTES - len(png(1)))
    shown = gather([("X", f"{n}.png") for n in range(9)], lambda path: big)
    assert 1 <= sum(p.kind == "image" for p in shown) < 9
    assert sum(len(p.uri) for p in shown) <= 12_000_000 * 4 / 3 + 100
    assert gather([("X", "gone.png")], lambda path: None) == []


def test_flatten_and_short() -> None:
    assert list(flatten({"a": [{"b": 1}], "c": None})) == [("a[0].b", "1"), ("c", "—")]
    assert [short(v) for v in ("0.123456", "1000000", "nan", "word", "1e9")] == [
        "0.1235",
        "1000000",
        "nan",
        "word",
        "1e+09",
    ]


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 400 + b"{}" + b"]" * 400, b"{"])
def test_json_that_is_too_deep_or_none_is_shown_as_text(text: bytes) -> None:
    shown = describe("a.json", "X", text)
    assert shown.kind in ("text", "facts") and shown.rows + (shown.note,)


def test_guard_words() -> None:
    red = payloads.GuardSide("fail", counts={"failed": 1, "passed": 0})
    green = payloads.GuardSide("pass", counts={"passed": 1})
    words = guard_words({"base": red, "attempt": green})
    assert words == "base fail (1 failed), attempt pass (1 passed)"
    assert guard_words({}) == "" and side_words(payloads.GuardSide("not-run")) == "not-run"


@pytest.mark.browser
def test_page_needs_no_sideways_scrolling_on_a_phone(loaded: Loaded, tmp_path: Path) -> None:
    inner = tmp_path / "page.html"
    inner.write_text(render_page(loaded))
    with chromium() as browser:
        page, said = opened(browser, inner.as_uri(), viewport={"width": 360, "height": 800})
        assert overflow(page) <= 0 and said == []
