"""`ptycho report` and `--live`: what a result holds and lacks, hostile text, a real browser."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "views"))  # for `browser`

from browser import SCHEMES, WIDTHS, chromium, opened, overflow

from ptycho.cli import app
from ptycho.data import load_reconstruction, save_reconstruction, save_scan
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.placing import affine_facts
from ptycho.refinement.run import refine
from ptycho.report import Live, contents_of, of_reconstruction, write_page
from ptycho.report.contents import PARTS
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

pytestmark = pytest.mark.slow  # what they share is refined and its halves too: 15 s

EVIL = '"><script>window.evil=1</script><img src=x onerror=alert(1)>\u202egnp {{ 7*7 }} `'


class Tags(HTMLParser):
    """The tags, attributes and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        self.ids.update(str(value) for name, value in attrs if name == "id")


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `ptycho WORDS`."""
    capfd.readouterr()
    code = 0
    try:
        app.main(list(words))
    except SystemExit as done:
        code = int(done.code or 0)
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module", autouse=True)
def without_xla() -> Iterator[None]:
    """Few passes on small frames are over before XLA has compiled them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USE_XLA_TRANSLATE", "0")
        yield


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SimulationConfig(N=32, n_frames=36, photons=1e5, seed=2, probe_diameter_px=14))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scan: Scan) -> Path:
    """`a.h5` from the command with `--live live`, and half sets of it."""
    place = tmp_path_factory.mktemp("page")
    save_scan(scan, place / "scan.npz")
    common = [str(place / "scan.npz"), "-o", str(place / "a.h5"), "--passes", "3"]
    common += ["--positions", "frames", "--modes", "2", "--opr", "1"]
    for words in (
        ["refine", *common, "--live", str(place / "live"), "--json"],
        ["evaluate", str(place / "a.h5"), "--half-sets", "--json"],
    ):
        try:
            app.main(words)
        except SystemExit as done:
            assert not done.code
    return place


@pytest.fixture(scope="module")
def bare() -> Reconstruction:
    """What another program may leave: an object, and nothing beside it."""
    return Reconstruction(np.ones((40, 50), complex), np.ones((40, 50)), (0, 0))


def page_of(folder: Path, *results: Any) -> str:
    return write_page(results, folder / "page.html").read_text()


def test_all_that_a_result_holds_is_on_its_page(folder: Path, tmp_path: Path) -> None:
    contents = contents_of(folder / "a.h5")
    assert {key: len(part.pictures) for key, part in contents.parts.items()} == {
        "object": 2, "probe": 4, "positions": 1, "curves": 1, "resolution": 1, "frames": 0,
    }  # fmt: skip
    text = page_of(tmp_path, contents)
    for words in (
        "36 positions moved by", "clean: auto; 36 frames looked at", "half sets, amplitude SSIM",
        f"cd {os.getcwd()}", "ptycho refine", "--positions frames --modes 2 --opr 1",
        "numpy ", "modes=2, opr=1, passes=3, positions=frames", "of the light",
        "weight of each eigenprobe", "The first mode varies",
    ):  # fmt: skip
        assert words in text, words
    tags = Tags(text)
    assert not tags.names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert "style" not in tags.attributes and not any(a[:2] == "on" for a in tags.attributes)
    for link in tags.links:
        assert link.startswith("data:image/png;base64,") or link[1:] in tags.ids, link[:60]
    meta = load_reconstruction(folder / "a.h5").meta
    assert len(meta["history"]) == 3 and meta["versions"]["numpy"] == np.__version__


def test_what_all_positions_share_is_there_in_numbers_and_arrows(
    folder: Path, tmp_path: Path
) -> None:
    """Moves that are a scale of 1.05, half a degree, and a drift; `refine` writes this record."""
    rec = load_reconstruction(folder / "a.h5")
    given = np.asarray(rec.meta["positions_given_px"])
    by, away = np.array([[0.05, 0.0087], [-0.0087, 0.05]]), given - given.mean(axis=0)
    drift = np.linspace(-0.5, 0.5, len(given))[:, None] * [[1, 0]]
    record = {"kept": True, "deviance_gain": 0.25, **affine_facts(by), "drift_px": 0.3}
    moved = replace(rec, positions_px=given + away @ by + drift)
    contents = of_reconstruction(moved.with_meta(shared_positions=record | {"moved_px": 1.2}), "x")
    names = [one.name for one in contents.parts["positions"].pictures]
    assert names == ["positions", "positions-shared", "drift"]
    text = page_of(tmp_path, contents)
    for words in (
        "scale 1.05, rotation 0.4985°, aspect 1, shear 0;",
        "backlash 0.3 px",
        "together 1.2 px",
        "gains 25.00% by it",
        "it was kept",
    ):
        assert words in text, words
    record["kept"] = False
    part = of_reconstruction(moved.with_meta(shared_positions=record), "x").parts["positions"]
    assert len(part.pictures) == 1 and "it was not kept" in part.words[-1]


def test_the_positions_of_before_are_those_of_the_scan(folder: Path, scan: Scan) -> None:
    meta = load_reconstruction(folder / "a.h5").meta
    assert np.array_equal(meta["positions_given_px"], scan.positions_px)


def test_what_a_result_lacks_is_said(bare: Reconstruction, tmp_path: Path) -> None:
    contents = of_reconstruction(bare, "other.h5")
    assert set(contents.parts) == {key for key, _ in PARTS}
    for key, part in contents.parts.items():
        assert part.words, key
    text = page_of(tmp_path, contents)
    for words in (
        "The file holds no probe.",
        "as given; <code>refine --positions</code>",
        "The file tells no passes.",
        "No half sets yet",
        "Nothing is told of a look at the frames.",
        "The file tells no settings.",
        "does not tell which versions",
        "does not tell how it was made",
    ):
        assert words in text, words


def test_an_evaluation_of_another_state_of_the_file_is_not_shown(folder: Path) -> None:
    rec = load_reconstruction(folder / "a.h5")
    place = folder / "moved"
    place.mkdir()
    (place / "a-half-sets.json").write_bytes((folder / "a-half-sets.json").read_bytes())
    save_reconstruction(rec.with_meta(more=1), place / "a.h5")
    contents = contents_of(place / "a.h5")
    part = contents.parts["resolution"]
    assert not part.pictures and "another state of this file" in part.words[0]
    assert contents.facts["resolution"] == "not told"
    (place / "a-notes.json").write_text("{")  # of somebody else: no concern of the page
    contents_of(place / "a.h5")


def test_results_side_by_side_say_what_differs(
    folder: Path, bare: Reconstruction, tmp_path: Path
) -> None:
    one = contents_of(folder / "a.h5")
    other = replace(one, name="b.h5", settings={**one.settings, "momentum": 0.25})
    text = page_of(tmp_path, one, other, of_reconstruction(bare, "c.h5"))
    table = text.partition("Settings that differ")[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["momentum"]
    assert "3 results side by side" in text and text.count("<h3>b.h5</h3>") == len(PARTS) + 3


def hostile(bare: Reconstruction) -> list[Any]:
    """Results that say hostile words wherever a file can say words."""
    finding = {"sentence": EVIL, "code": EVIL, "count": 1, "done": EVIL}
    meta = {
        "method": EVIL, "scan": EVIL, "scan_path": EVIL, "stopped_by": EVIL, "command": EVIL,
        "folder": EVIL, "config": {EVIL: EVIL}, "versions": {EVIL: EVIL}, "n_frames": EVIL,
        "sanity": {"clean": EVIL, "frames": EVIL, "left_out": [EVIL], "findings": [finding]},
        "prior": {"chosen": EVIL}, "loss": [EVIL], "regularise": EVIL,
    }  # fmt: skip
    return [of_reconstruction(bare.with_meta(**meta), EVIL), of_reconstruction(bare, "b" * 5000)]


def test_hostile_text_is_inert(bare: Reconstruction, tmp_path: Path) -> None:
    text = page_of(tmp_path, *hostile(bare))
    tags = Tags(text)
    assert not tags.names & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert not any(name.startswith("on") for name in tags.attributes)
    assert "\u202e" not in text and "\\u202egnp" in text and "{{ 7*7 }}" in text
    assert "3000 characters more" in text


@pytest.mark.parametrize(
    "facts",
    [
        {"history": "none"}, {"history": [1]}, {"history": [{}]}, {"config": [1]},
        {"sanity": {"findings": 3}}, {"mode_shares": [None]}, {"positions_given_px": "x"},
        {"method": "refine", "config": {"passes": {"a": 1}}}, {"versions": 3}, {"seconds": "x"},
        {"shared_positions": {"kept": True, "scale": "x"}}, {"eigenprobe_shares": ["x", None]},
        {"frame_numbers": ["a"]}, {"frame_numbers": {"a": 1}},
    ],
)  # fmt: skip
def test_odd_facts_of_a_file_are_no_traceback(
    folder: Path, tmp_path: Path, facts: dict[str, Any]
) -> None:
    rec = load_reconstruction(folder / "a.h5")
    page_of(tmp_path, of_reconstruction(rec.with_meta(**facts), "odd.h5"))


@pytest.mark.browser
def test_three_widths_two_schemes_and_no_script(
    folder: Path, bare: Reconstruction, tmp_path: Path
) -> None:
    one = contents_of(folder / "a.h5")
    (tmp_path / "evil").mkdir()
    pages = [
        write_page([one], tmp_path / "one.html"),
        write_page([one, one, of_reconstruction(bare, "c.h5")], tmp_path / "many.html"),
        write_page(hostile(bare), tmp_path / "evil.html"),
    ]
    with chromium() as browser:
        grounds = set()
        for width in WIDTHS:
            for scheme in SCHEMES:
                size = {"width": width, "height": 800}
                for path in pages:
                    page, said = opened(browser, path.as_uri(), viewport=size, color_scheme=scheme)
                    assert said == [] and overflow(page) <= 0, (path, width, scheme)
                    assert page.evaluate("window.evil") is None
                grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2
        page, _ = opened(browser, pages[0].as_uri(), java_script_enabled=False)
        assert page.locator("h1").inner_text() == "a.h5"
        shown = page.locator("figure img")
        assert shown.count() == 9
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        page.keyboard.press("Tab")
        assert page.locator(":focus").get_attribute("href") == "#glance"
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details[open]").count() == 1


def test_the_command_writes_it_and_says_what_is_wrong(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result, page = str(folder / "a.h5"), tmp_path / "out/page.html"
    code, out, err = call(capfd, "report", result, result, "-o", str(page), "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["page"] == str(page) and told["bytes"] == page.stat().st_size < 3_000_000
    assert [one["method"] for one in told["results"]] == ["refine", "refine"]
    assert call(capfd, "report", result, "-o", str(page))[0] == 0  # a page of ours is replaced
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    for words, parts in (
        ([result, "-o", str(notes)], ("not a page of ptycho", "choose another name")),
        ([result, "-o", str(tmp_path / "page.png")], ("ends in .html", "page.html")),
        ([str(tmp_path / "no.h5"), "-o", str(page)], ("no such result", "ptycho refine")),
        ([str(tmp_path), "-o", str(page)], ("no finished run", "--resume")),
        ([str(folder / "scan.npz"), "-o", str(page)], ("scan.npz", "expected")),
    ):
        code, out, err = call(capfd, "report", *words)
        assert code in (1, 2, 3) and not out and "Traceback" not in err
        assert all(part in err for part in parts), (words, err)
    assert notes.read_text() == "mine" and not list(tmp_path.rglob("*.part"))


def test_live_ends_with_the_page_of_the_result(folder: Path) -> None:
    text = (folder / "live/page.html").read_text()
    assert "<strong>Finished</strong>" in text and 'http-equiv="refresh"' not in text
    assert "36 positions moved by" in text
    names = {path.name for path in (folder / "live").iterdir()}
    assert names == {
        "page.html", "object-modulus.png", "object-phase.png", "probe-1.png", "probe-2.png",
        "eigenprobe-1.png", "probe-weights.png", "positions.png", "descent.png",
    }  # fmt: skip


def test_a_watched_refinement_ends_the_same_and_shows_each_pass(scan: Scan) -> None:
    config = RefineConfig(passes=3)
    seen: list[Reconstruction] = []
    watched = refine(scan, config=config, watch=lambda made: seen.append(made()))
    plain = refine(scan, config=config)
    assert np.array_equal(watched.reconstruction.object, plain.reconstruction.object)
    assert [len(rec.meta["history"]) for rec in seen] == [1, 2, 3]
    assert not np.array_equal(seen[0].object, seen[1].object)


def test_live_writes_seldom_and_a_slow_page_more_seldom(
    bare: Reconstruction, tmp_path: Path
) -> None:
    now = 0.0

    def slow() -> Any:
        nonlocal now
        now += 2.0
        return of_reconstruction(bare, "a.h5")

    live = Live(tmp_path / "live", pytest.fail, clock=lambda: now)
    for _ in range(1000):
        live.progress(1, 2, {"residual": 0.25})
        live.update(slow)
        now += 0.5
    assert live.written >= 10 and live.spent_s <= 0.06 * now
    text = live.page.read_text()
    assert "50% · residual 0.25" in text and 'http-equiv="refresh" content="5"' in text
    live.finish(lambda: of_reconstruction(bare, "a.h5"))
    assert 'http-equiv="refresh"' not in live.page.read_text()


def test_whoever_reads_while_it_is_written_reads_a_whole_page(
    bare: Reconstruction, tmp_path: Path
) -> None:
    live = Live(tmp_path / "live", pytest.fail, every_s=0)
    live.update(lambda: of_reconstruction(bare, "a.h5"))
    over, torn = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            text = live.page.read_text()
            torn.extend([] if text.endswith("</html>") else [len(text)])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        live.finish(lambda: of_reconstruction(bare, "a.h5"))
    over.set()
    reader.join()
    assert not torn and live.written == 6 and not list(live.folder.glob("*.part"))


def test_a_page_that_cannot_be_written_is_said_once_and_ends_nothing(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    (tmp_path / "file").write_text("in the way")
    live = Live(tmp_path / "file/live", said.append, every_s=0)
    for _ in range(3):
        live.update(lambda: contents_of(folder / "a.h5"))
    live.finish(lambda: contents_of(folder / "a.h5"))
    assert len(said) == 1 and "the work goes on" in said[0] and live.written == 0


def test_a_run_that_ends_early_says_so_on_its_page(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["refine", str(folder / "scan.npz"), "-o", str(tmp_path / "b.h5"), "--passes", "3"]
    words += ["--live", str(tmp_path / "live"), "--set", "object_step=2", "--set", "damping=1e-9"]
    words += ["--set", "probe_step=2"]
    code, _, err = call(capfd, *words)
    assert code != 0 and "diverged" in err, err
    text = (tmp_path / "live/page.html").read_text()
    assert "Ended early: it failed" in text and 'http-equiv="refresh"' not in text


def test_a_place_that_is_not_a_folder_is_said_before_the_work(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["refine", str(folder / "scan.npz"), "-o", str(tmp_path / "b.h5"), "--passes", "3"]
    code, _, err = call(capfd, *words, "--live", str(tmp_path / "file"))
    assert code == 2 and "--live" in err and not (tmp_path / "b.h5").exists()


@pytest.mark.training
def test_a_training_has_a_page_while_it_runs_and_after(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(folder / "scan.npz"), "-o", str(tmp_path / "run"), "--json"]
    words += ["--set", "epochs=1", "--set", "batch_size=8", "--set", "estimate_steps=2"]
    words += ["--live", str(tmp_path / "live"), "--set", "validation_margin_px=4"]
    code, out, err = call(capfd, *words)
    assert code == 0, err
    assert json.loads(out)["live"] == str(tmp_path / "live/page.html")
    assert (tmp_path / "live/history.png").is_file()
    contents = contents_of(tmp_path / "run")
    assert contents.command.startswith("ptycho train") and contents.versions["numpy"]
    assert contents.facts["epochs"] == "1" and len(contents.parts["curves"].pictures) == 1
    page = tmp_path / "live/page.html"
    assert "<strong>Finished</strong>" in page.read_text()
    page.unlink()
    code, out, err = call(capfd, *words, "--resume")
    assert code == 0, err
    assert "<strong>Finished</strong>" in page.read_text()
