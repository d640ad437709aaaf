"""What an agent leaves in its report: taken as regular files, within bounds, into a new folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from orchestration.errors import HarnessError
from orchestration.gates.artifacts import FOLDERS
from orchestration.gates.evidence import ReportBounds, take_evidence

SMALL = ReportBounds(file_bytes=1000, bytes=1500, files=5, depth=3)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    for part in FOLDERS:
        (folder / part).mkdir(parents=True)
    (folder / "analysis/table.csv").write_text("1,2\n")
    (tmp_path / "mine").write_text("a person's\n")
    return folder


def test_honest_files_stay_where_they_are_and_the_harnesss_folders_are_its_own(
    report: Path,
) -> None:
    (report / "green/full_suite.log").write_text("all passed\n")
    (report / "cli/run.log").write_text("x\n")
    assert take_evidence(report) == []
    assert (report / "analysis/table.csv").read_text() == "1,2\n"
    assert (report / "cli/run.log").read_text() == "x\n"
    assert list((report / "green").iterdir()) == []
    assert (report / "cli/green_full_suite.log").read_text() == "all passed\n"


def link_inventory(report: Path) -> None:
    (report / "analysis/artifact_inventory.txt").symlink_to(report.parent / "mine")


def link_folder(report: Path) -> None:
    (report / "red").rmdir()
    (report / "red").symlink_to(report.parent)


def hard_link(report: Path) -> None:
    os.link(report.parent / "mine", report / "x.txt")


def fifo(report: Path) -> None:
    os.mkfifo(report / "green/guard_attempt_1.log")


def unix_socket(report: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        here = os.getcwd()
        os.chdir(report)
        door.bind("s")
        os.chdir(here)


def odd_name(report: Path) -> None:
    with open(os.fsencode(report) + b"/\xff", "w"):
        pass


@pytest.mark.parametrize(
    "harm", [link_inventory, link_folder, hard_link, fifo, unix_socket, odd_name]
)
def test_what_is_no_file_of_its_own_is_left_out_and_named(
    report: Path, harm: Callable[[Path], None]
) -> None:
    harm(report)
    assert len(take_evidence(report)) == 1
    kinds = [path for path in report.rglob("*") if path.is_symlink() or not path.exists()]
    assert kinds == []
    assert sorted(p.name for p in report.iterdir()) == sorted(FOLDERS)
    for path in report.rglob("*"):
        assert path.is_dir() or path.stat().st_nlink == 1
    for part in FOLDERS:
        (report / part / "log").write_text("the harness writes here")
    assert (report.parent / "mine").read_text() == "a person's\n"


def test_files_in_place_of_folders(report: Path) -> None:
    (report / "green").rmdir()
    (report / "green").write_text("x")
    assert take_evidence(report) == []
    assert (report / "cli/green").read_text() == "x" and (report / "green").is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "dead link"])
def test_a_report_that_is_no_folder(tmp_path: Path, kind: str) -> None:
    report = tmp_path / "report"
    report.write_text("x") if kind == "file" else report.symlink_to(
        tmp_path if kind == "link" else "nowhere"
    )
    assert take_evidence(report) == ["the report is no folder any more"]
    assert sorted(p.name for p in report.iterdir()) == sorted(FOLDERS)


def sparse(report: Path) -> None:
    with (report / "sparse").open("wb") as file:
        file.truncate(100 << 30)


def many_bytes(report: Path) -> None:
    for number in range(3):
        (report / f"{number}").write_bytes(b"x" * 900)


def many_files(report: Path) -> None:
    for number in range(20):
        (report / f"{number}").touch()


def deep(report: Path) -> None:
    here = os.getcwd()
    os.chdir(report)
    for _ in range(20):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)


BOUNDS = {
    sparse: "a file of more bytes than 1000",
    many_bytes: "more bytes than 1500",
    many_files: "more files",
    deep: "lies deeper than 3",
}


@pytest.mark.parametrize("harm", BOUNDS)
def test_a_bound_that_is_passed_is_named(report: Path, harm: Callable[[Path], None]) -> None:
    harm(report)
    with pytest.raises(HarnessError, match=BOUNDS[harm]):
        take_evidence(report, SMALL)
    assert set(FOLDERS) <= {path.name for path in report.iterdir()}
