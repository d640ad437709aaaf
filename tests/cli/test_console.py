"""Tables for a person: what `--json` holds, in words; and places that are not written to."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ptycho.cli import console
from ptycho.cli.app import main
from ptycho.cli.outputs import check_file, check_scan_file
from ptycho.cli.refine import _line_of, _told_of_prior
from ptycho.data import save_reconstruction
from ptycho.errors import UsageError
from ptycho.result import Reconstruction


def test_facts_are_words_and_a_sentence_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {
        "held_out_deviance": None,
        "shape": [51, 50],
        "frames_left_out": [],
        "trials": [{"held_out_deviance": 0.123456, "loss": "poisson"}, {"loss": "amplitude"}],
        "warnings": ["first: one, and more", "second: another"],
        "product": False,
    }
    console.print_facts("refined", facts)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    words = [line.split(maxsplit=3) for line in lines]
    assert words[1] == ["held", "out", "deviance", "none"]
    assert lines[2].split("shape")[1].strip() == "51, 50"
    assert lines[3].endswith("none")
    assert lines[4].endswith("held out deviance 0.1235, loss poisson")
    assert lines[5].strip() == "loss amplitude"
    assert [line.split("warnings")[-1].strip() for line in lines[6:8]] == facts["warnings"]
    assert lines[8].split() == ["product", "no"]


def test_a_name_with_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table("reported", [("out [red].h5", "refine [bold]")])
    assert "out [red].h5  refine [bold]" in capsys.readouterr().out


def test_the_gain_of_the_prior_says_whose_it_is_and_how_sure() -> None:
    row = {"image": "own", "held_out_deviance": 0.5, "gain_by_quarter": {}}
    gate = {"gain": 0.01, "chosen": "own", "candidates": [row], "gain_of": "prior"}
    gate["gain_over"] = "plain"

    def said(gain: float, error: float | None) -> str:
        told = _told_of_prior({**gate, "gain": gain, "standard_error": error})
        return str(told["prior_gains"])

    assert said(0.01, 0.002).startswith("0.01 ± 0.002")
    assert said(0.01, 0.002).endswith("(prior over plain)")
    assert said(0.01, 0.0).startswith("0.01 ± 0 ")
    assert "±" not in said(0.01, None) and "one frame, whose error is unknown" in said(0.01, None)
    assert said(-0.01, 0.002).endswith("(prior is worse than plain)")
    assert said(-0.003, 0.002).endswith("(prior is no better than plain)")
    assert said(-0.003, None).endswith("(prior is no better than plain)")


def test_a_refused_image_of_the_prior_says_why_beside_its_number() -> None:
    row = {"image": "prior", "held_out_deviance": 0.123456, "refused": "no better than plain"}
    assert _line_of(row) == "prior 0.12346, no better than plain"
    assert _line_of({**row, "refused": None}) == "prior 0.12346"
    del row["refused"]  # of an image that is no prior's, and in files of before
    assert _line_of(row) == "prior 0.12346"


def test_a_scan_takes_the_place_of_no_result(tmp_path: Path) -> None:
    """`refine a.npz -o a.h5`, then `convert a.npz a.h5`: the work of hours was gone."""
    ones = np.ones((8, 8), np.complex64)
    save_reconstruction(
        Reconstruction(ones, np.ones((8, 8), np.float32), (0, 0)), tmp_path / "a.h5"
    )
    with pytest.raises(UsageError, match="it is a reconstruction"):
        check_scan_file(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"something")
    check_scan_file(tmp_path / "b.h5")
    check_scan_file(tmp_path / "new.h5")


def test_a_device_and_a_pipe_are_not_replaced_by_a_file(tmp_path: Path) -> None:
    """`-o /dev/null` of the superuser put a file in its place."""
    os.mkfifo(tmp_path / "pipe")
    for place in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(UsageError, match="neither a file nor free"):
            check_file(place)


@pytest.mark.parametrize(
    "words",
    [
        ("prior", "make-data", "{}"),
        ("prior", "train", ".", "-o", "{}"),
        ("prior", "evaluate", "auto", "-o", "{}"),
        ("train", "scan.npz", "-o", "{}", "--prior", "auto"),
    ],
)
@pytest.mark.parametrize("kind", ["a file", "nowhere"])
def test_a_folder_that_cannot_be_is_told_before_the_work(
    words: tuple[str, ...], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "a file" if kind == "a file" else Path("/proc/nowhere")
    (tmp_path / "a file").write_bytes(b"")
    with pytest.raises(SystemExit) as caught:
        main([word.format(place) for word in words])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and "nothing can be written there" in said
    assert str(place) in said and "a folder that you may write to" in said


@pytest.mark.parametrize("command", ["inspect", "refine"])
def test_an_interruption_is_told_and_how_to_go_on(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Typer makes an exit code of Ctrl-C, and nothing was said."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ptycho.cli.scan_options.Opening.open", interrupted)
    output = ["-o", str(tmp_path / "out.h5")] if command == "refine" else []
    with pytest.raises(SystemExit) as caught:
        main([command, str(tmp_path / "scan.npz"), *output])
    said = capsys.readouterr().err
    assert caught.value.code == 130 and "interrupted" in said
    assert ("--resume" in said) == (command == "refine")
