"""`ptycho train SCAN… --prior`: the shipped weights go on with scans of one's own objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ptycho.cli.app import app
from ptycho.data import load_reconstruction, save_reconstruction, save_scan
from ptycho.errors import ArchiveError, UsageError
from ptycho.prior import load_prior
from ptycho.simulation import SimulationConfig, simulate


def said(*words: object) -> tuple[int, str, str]:
    """Exit code, what came on stdout and on stderr."""
    done = CliRunner().invoke(app, list(map(str, words)))
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_prior_is_tuned_on_the_objects_of_a_scan_and_of_a_result(tmp_path: Path) -> None:
    scan = simulate(SimulationConfig(N=32, n_frames=49, photons=1e4))
    save_scan(scan, tmp_path / "made.npz")
    out = tmp_path / "own"
    words = ("train", tmp_path / "made.npz", "-o", out, "--prior", "auto", "--json")
    code, told, _ = said(*words, "--prior-scans", 2, "--prior-steps", 1)
    facts = json.loads(told)
    assert code == 0 and facts["scans_solved"] + facts["scans_not_solved"] == 2
    taken = load_reconstruction(out / "objects" / "00-made.h5")
    assert scan.truth is not None
    np.testing.assert_allclose(taken.object, scan.truth.object, atol=1e-6)
    record = load_prior(out / "prior.npz").record
    assert record["objects_of"] == [scan.name]
    assert record["start_sha256"] == load_prior("auto").record["sha256"]
    assert record["unseen_before"] == facts["the_same_before"] > 0
    assert str(out / "prior.npz") in facts["to_be_judged_by"]

    # A result is taken as it is: what its folder holds is of other objects than the scan's.
    save_reconstruction(taken.with_meta(scan="measured.cxi"), tmp_path / "result.h5")
    first = (out / "prior.npz").rename(tmp_path / "first.npz")
    words = ("train", tmp_path / "result.h5", "-o", out, "--prior", first)
    with pytest.raises(Exception, match="scans of other objects"):
        said(*words, "--prior-scans", 2, "--prior-steps", 1)


def test_what_is_wrong_is_told_before_data_are_made(tmp_path: Path) -> None:
    save_scan(simulate(SimulationConfig(N=32, n_frames=36, photons=1e4)), tmp_path / "made.npz")
    out = tmp_path / "own"
    words = ("train", tmp_path / "made.npz", "-o", out, "--prior")
    with pytest.raises(ArchiveError, match="no such file"):
        said(*words, tmp_path / "nothere.npz")
    out.mkdir(exist_ok=True)
    (out / "prior.npz").write_bytes(b"finished")
    with pytest.raises(UsageError, match="finished"):
        said(*words, "auto")
    assert [path.name for path in out.rglob("*")] == ["prior.npz"]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--prior-scans", 5), "--prior-scans"),
        (("--prior-steps", 5), "--prior-steps"),
        (("--prior", "auto", "--gridsize", 1), "--gridsize"),
        (("--prior", "auto", "--set", "epochs=1"), "--set"),
    ],
)
def test_settings_that_would_be_dropped_are_an_error(
    words: tuple[object, ...], where: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="do not belong together") as error:
        said("train", tmp_path / "none.npz", "-o", tmp_path / "out", *words)
    assert error.value.where == where  # type: ignore[attr-defined]


def test_the_object_of_another_scan_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    from ptycho.pretraining import own_object

    scan = simulate(SimulationConfig(N=32, n_frames=36, photons=1e4))
    path = own_object(scan, tmp_path / "objects" / "one.h5")
    before = path.read_bytes()
    assert own_object(scan, path).read_bytes() == before
    with pytest.raises(Exception, match="object of another scan"):
        own_object(scan.subset(np.arange(30)), path)


def test_a_scan_that_is_given_twice_is_an_error(tmp_path: Path) -> None:
    same = tmp_path / "there" / ".." / "a.npz"
    with pytest.raises(Exception, match="given twice"):
        said("train", tmp_path / "a.npz", tmp_path / "b.npz", same, "-o", tmp_path / "out")
