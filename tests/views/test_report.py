"""The report: many cycles, hostile text inert, one page a turn, phone and keyboard."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `browser` and `long_log`

from browser import SCHEMES, WIDTHS, chromium, opened, overflow
from long_log import git, repository, story, told_again, with_text
from orchestration.core import GENESIS, Event, Payload, payloads
from orchestration.git import Repo
from orchestration.log import import_events
from orchestration.views import load, write_pages
from orchestration.views.cycles import cycles_of
from orchestration.views.diffs import parse_diff
from orchestration.views.page import RECENT, anchor, visible

EVIL = (
    "</pre></script><script>window.evil=1;alert(1)</script><img src=x onerror=alert(2)>"
    "\"'><svg onload=alert(3)> \u202egnp.exe\u2066 \u200f\x1b[31m\x00\x07 {{ 7*7 }} {% raw %}"
)
BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00-\x08\x0b-\x1f\x7f]")


class Tags(HTMLParser):
    """The tags, attributes and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.levels = [0]
        self.landmarks: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        found = dict(attrs)
        if tag in ("section", "nav") or found.get("role") == "region":
            self.landmarks.append(str(found["aria-label"]))
        self.attributes.update(name for name, _ in attrs)
        self.links.update(str(v) for k, v in attrs if k in ("href", "src"))
        self.ids.update(str(v) for k, v in attrs if k == "id")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the pinned story, written once."""
    folder = tmp_path_factory.mktemp("report")
    root = repository(folder, story())
    write_pages(load(root), folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same story with hostile words in every text, the ledger's and an attempt's included."""
    folder = tmp_path_factory.mktemp("hostile")
    root = repository(folder, with_text(story(), EVIL))
    plan = root / "docs/fix_plan.md"
    words = EVIL.replace("\x00", "")
    plan.write_text(
        re.sub(r"(?m)^(### \[[^]]+\]) .*", lambda m: f"{m[1]} {words}", plan.read_text())
    )
    findings = (
        f"| Finding ID | Date | Keywords | Synopsis |\n|-|-|-|-|\n| F-1 | x | x | {words} |\n"
    )
    (root / "docs/findings.md").write_text(findings)
    git(root, "-c", "user.name=t", "-c", "user.email=t@e", "add", "-A")
    git(root, "-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", "hostile")
    write_pages(load(root), folder / "page.html")
    return folder / "page.html"


def pages(page: Path) -> list[Path]:
    return [page, *sorted(page.with_name(f"{page.stem}-turns").glob("*.html"))]


def test_a_page_has_no_script_and_names_nothing_outside(written: Path) -> None:
    for path in pages(written):
        text = path.read_text()
        tags = Tags(text)
        assert not tags.names & {"script", "link", "iframe", "object", "embed", "form", "base"}
        assert "style" not in tags.attributes and not any(a[:2] == "on" for a in tags.attributes)
        assert "default-src &#39;none&#39;" in text and "unsafe-inline" not in text
        for link in tags.links:
            inside = link.startswith(("#", "data:image/")) or (path.parent / link).is_file()
            assert inside, link
            assert not link.startswith("#") or link[1:] in tags.ids, link


def test_headings_go_down_by_one_and_no_two_landmarks_share_a_name(written: Path) -> None:
    for path in pages(written):
        tags = Tags(path.read_text())
        steps = zip(tags.levels, tags.levels[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), (path.name, tags.levels)
        assert tags.levels.count(1) == 1
        assert len(set(tags.landmarks)) == len(tags.landmarks), (path.name, tags.landmarks)


def test_every_cycle_has_its_row_and_its_page(written: Path) -> None:
    cycles = cycles_of(story())
    text = written.read_text()
    assert len(pages(written)) == len(cycles) + 1 == 46
    assert f"How it went: {len(cycles)} cycles" in text
    for cycle in cycles:
        own = written.with_name("page-turns") / f"turn-{cycle.turn:06d}.html"
        assert cycle.item in own.read_text()
    landed = next(c for c in cycles if c.turn == 12)
    assert (landed.verdict, landed.item, landed.dwell, landed.first) == ("land", "FIX-001", 0, 11)
    own = (written.with_name("page-turns") / "turn-000012.html").read_text()
    for words in (
        "return x * 3", "return x * 2", "mode TDD", "tests/test_twice.py::test_twice",
        "f39eef84d891", "sha256", "made by harness", "guard_base.log", "Why this one",
    ):  # fmt: skip
        assert words in own, words
    assert text.count('<details class="turn"') == RECENT
    assert "Retrospective of" in text


def test_hostile_text_is_inert_everywhere(hostile: Path) -> None:
    for path in pages(hostile):
        text = path.read_text()
        tags = Tags(text)
        assert not tags.names & {"script", "iframe", "object", "embed", "link", "base", "form"}
        assert not any(name.startswith("on") for name in tags.attributes)
        assert BIDI.search(text) is None, path
        assert "49" not in re.findall(r"\{\{ (.*?) \}\}", text)
    text = hostile.read_text()
    assert "&lt;script&gt;window.evil" in text and "\\u202egnp" in text and "{{ 7*7 }}" in text
    assert "F-1" in text


@pytest.mark.browser
def test_hostile_text_does_nothing_in_a_browser(hostile: Path) -> None:
    with chromium() as browser:
        for path in (hostile, pages(hostile)[7]):
            page, said = opened(browser, path.as_uri())
            assert said == [] and page.evaluate("window.evil") is None
            assert overflow(page) <= 0
            page.set_viewport_size({"width": 360, "height": 800})
            assert overflow(page) <= 0


@pytest.mark.browser
def test_three_widths_two_schemes_keyboard_and_no_script(written: Path) -> None:
    with chromium() as browser:
        grounds = set()
        for width in WIDTHS:
            for scheme in SCHEMES:
                size = {"width": width, "height": 800}
                for path in (written, pages(written)[6]):
                    page, said = opened(browser, path.as_uri(), viewport=size, color_scheme=scheme)
                    assert said == [] and overflow(page) <= 0, (path, width, scheme)
                grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2
        page, _ = opened(browser, written.as_uri(), java_script_enabled=False)
        assert page.locator("h1").inner_text() == "Not ended"
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        page.keyboard.press("Tab")
        assert page.locator(":focus").get_attribute("href") == "#board"
        closed = page.locator("details.turn:not([open]) > summary").first
        closed.focus()
        before = page.locator("details.turn[open]").count()
        page.keyboard.press("Enter")
        assert page.locator("details.turn[open]").count() == before + 1
        link = page.locator("table.cycles td.k a").last
        link.click()
        assert page.locator("h1").inner_text().startswith("Turn ")


def test_five_hundred_cycles_stay_small_and_are_written_once(tmp_path: Path) -> None:
    """Pages of turns that say the same stay; processor time, since other work may run beside."""
    root = repository(tmp_path, told_again(story(), 12))
    began = time.process_time()
    site = write_pages(load(root), tmp_path / "page.html")
    spent = time.process_time() - began
    assert len(site.cycles) > 500
    assert (tmp_path / "page.html").stat().st_size <= 3_000_000
    assert spent < 10, "about 2 s on a machine that does nothing else"
    old = {p: p.stat().st_mtime_ns for p in pages(tmp_path / "page.html")[1:]}
    assert len(old) == len(site.cycles)
    write_pages(load(root), tmp_path / "page.html")
    assert {p: p.stat().st_mtime_ns for p in old} == old
    assert not list(tmp_path.rglob("*.part"))


def chained(*said: tuple[int, str, Payload]) -> list[Event]:
    """Events of one item with a chain."""
    found: list[Event] = []
    for turn, role, payload in said:
        sha = found[-1].sha if found else GENESIS
        at = f"2026-01-01T00:{len(found):02d}:00Z"
        data = payload.to_json()
        found.append(Event(len(found) + 1, at, turn, role, payload.KIND, "KEY-001", data, sha))
    return found


def test_a_credential_in_a_diff_or_an_order_is_masked_and_held_out_is_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, own = "AKIA" + "QYLPMN5HHHFPZAM2", "correct-horse-battery"
    monkeypatch.setenv("MY_SERVICE_KEY", own)
    root = tmp_path / "repo"
    (root / "docs").mkdir(parents=True)
    ledger = "# Plan\n\n### [KEY-001] A key\n- Status: open\n- Exit:\n  - [ ] C1 `true` — x\n"
    (root / "docs/fix_plan.md").write_text(ledger)
    (root / "orchestration.yaml").write_text("agent_env: [MY_SERVICE_KEY]\n")
    git(root, "init", "-q", "-b", "main")
    who = ("-c", "user.name=t", "-c", "user.email=t@e")
    git(root, "add", "-A")
    git(root, *who, "commit", "-qm", "one")
    base = git(root, "rev-parse", "HEAD").strip()
    (root / "settings.py").write_text(f"KEY = '{key}'\nOTHER = '{own}'\nHARMLESS = 1\n")
    git(root, "add", "-A")
    git(root, *who, "commit", "-qm", "two")
    head = git(root, "rev-parse", "HEAD").strip()
    git(root, "reset", "-q", "--hard", base)
    count = payloads.CheckRow("held-out", "held-out KEY-001", False, "3 of 5 passed")
    events = chained(
        (0, "harness", payloads.RunStarted("r", "custom")),
        (1, "supervisor", payloads.Decided("work", 1, "first")),
        (1, "supervisor", payloads.Ordered("h", f"order with {key} in it\n")),
        (2, "worker", payloads.Dispatched(1, "KEY-001", base, "s", "plans/r")),
        (2, "worker", payloads.AgentEnded("done", snapshot=head, changed=("settings.py",))),
        (2, "worker", payloads.Judged("reject", "held-out", checks=(count,))),
        (2, "worker", payloads.TurnEnded(1, "reject")),
    )
    repo = Repo(root)
    repo.claim_state()
    import_events(repo.state_dir, events)
    red = repo.state_dir / "turns/000002/report/green"
    red.mkdir(parents=True)
    (red / "guard_attempt_1.log").write_text(f"E   assert 1 == 2\nE   {own}\n")
    private = repo.state_dir / "held-out-logs"
    private.mkdir()
    (private / "000002.log").write_text("E   test_secret_name failed\n")
    (red / "link.log").symlink_to("/etc/passwd")
    write_pages(load(root), tmp_path / "page.html")
    for path in pages(tmp_path / "page.html"):
        text = path.read_text()
        assert key not in text and own not in text and "test_secret_name" not in text
        assert "root:" not in text
        if "HARMLESS" in text:
            assert "redacted" in text and "assert 1 == 2" in text and "3 of 5 passed" in text
    assert sum("HARMLESS = 1" in p.read_text() for p in pages(tmp_path / "page.html")) == 2


DIFF = """\
diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -1,2 +1,3 @@ def f():
 same
-old
+new
++++ b/not-a-header
\\ No newline at end of file
diff --git "a/\\303\\244 b" "b/\\303\\244 b"
new file mode 100644
index 0..1
--- /dev/null
+++ "b/\\303\\244 b"
@@ -0,0 +1 @@
+diff --git a/fake b/fake
diff --git a/p.bin b/p.bin
index 1..2 100644
Binary files a/p.bin and b/p.bin differ
"""


def test_a_diff_is_read_line_by_line() -> None:
    files, left = parse_diff(DIFF)
    assert left == 0
    assert [f.path for f in files] == ["x.py", "ä b", "p.bin"]
    assert [(f.letter, f.added, f.removed, f.note) for f in files] == [
        ("M", 2, 1, ""),
        ("A", 1, 0, ""),
        ("M", 0, 0, "binary"),
    ]
    kinds = [(line.kind, line.old, line.new) for line in files[0].lines]
    assert kinds == [("hunk", 0, 0), ("same", 1, 1), ("del", 2, 0), ("add", 0, 2), ("add", 0, 3)]
    assert files[0].lines[-1].text == "+++ b/not-a-header"
    cut, left = parse_diff(DIFF, most=3)
    assert left == 4 and sum(len(f.lines) for f in cut) == 3
    assert [f.path for f in parse_diff(DIFF, only=["p.bin"])[0]] == ["p.bin"]
    assert (
        parse_diff("nothing")[0] == () and len(parse_diff(DIFF.replace("new", "n" * 999))[0]) == 3
    )


def test_a_cycle_that_is_held_and_judged_again_is_two() -> None:
    flag = payloads.Flag("G01", "a.py", 1, "odd")
    events = chained(
        (0, "harness", payloads.RunStarted("r", "custom")),
        (1, "supervisor", payloads.Decided("work", 1, "first")),
        (1, "supervisor", payloads.Ordered("h", "text")),
        (2, "worker", payloads.Dispatched(1, "KEY-001", "b", "s", "plans/r")),
        (2, "worker", payloads.AgentEnded("done", cost=0.5, tokens=7, seconds=2.0)),
        (2, "worker", payloads.Judged("held", "look", flags=(flag,))),
        (2, "worker", payloads.TurnEnded(1, "held")),
        (2, "user", payloads.Answered(turn=2, accept=True, reason="fine")),
        (3, "harness", payloads.JudgedAgain(2, "c", "d")),
        (3, "worker", payloads.Judged("land", "good", verified=("C1",))),
        (3, "worker", payloads.TurnEnded(1, "land")),
    )
    first, second = cycles_of(events)
    assert (first.verdict, second.verdict) == ("held", "land")
    assert first.answers[0].reason == "fine" and first.judged and first.judged.flags == (flag,)
    assert (first.money, first.tokens, first.agent_s) == (0.5, 7, 2.0)
    assert (second.money, second.agent_s) == (None, 0.0) and second.ordered == first.ordered
    assert first.seconds == 300.0 and first.first == 1 and first.turn == 2
    running = cycles_of(events[:4])
    assert (running[0].verdict, running[0].seconds) == ("running", None)


def test_anchors_and_visible_text() -> None:
    assert anchor("FIX-001") == "item-FIX-001"
    assert anchor('A"><b>') != anchor("Ab") and re.fullmatch(r"[\w.-]+", anchor('A"><b>'))
    assert visible("a\tb\nc") == "a\tb\nc" and visible("\u202e") == "\\u202e" and visible(3) == 3
    assert replace(cycles_of(story())[0], judged=None, left=("why",)).reason == "why"
