"""The run folder: bit-exact, complete, and nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.errors import ArchiveError
from ptycho.model.archive import load, load_run, save_run
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling

N = 32


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(_model(), TrainConfig(seed=3), tmp_path / "run")


def _model(**options: Any) -> PtychoPINN:
    rng = np.random.default_rng(2)
    probe = rng.normal(size=(2, N, N)) + 1j * rng.normal(size=(2, N, N))
    mask = rng.random((N, N)) > 0.1
    options = {"canvas_size": N + 8, "probe_trainable": True, "scale_trainable": True} | options
    model = PtychoPINN(N, 2, probe, Scaling(1e4, 2.0), mask=mask, seed=5, **options)
    model.log_scale.assign(0.123456)
    model.probe_weight.assign(rng.normal(size=model.probe_weight.shape))
    return model


@pytest.mark.parametrize("network", ["default", "cnn"])
def test_weights_probe_and_scale_come_back_bit_exactly(network: str, tmp_path: Path) -> None:
    model = _model(network=network)
    save_run(model, TrainConfig(network=network), tmp_path)
    again = load(tmp_path)
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    for old, new in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert np.array_equal(again.probe, model.probe)
    assert np.array_equal(again.mask, model.mask)
    assert again.scaling == model.scaling and again.window == model.window
    rng = np.random.default_rng(0)
    counts = rng.poisson(5, (2, 4, N, N)).astype(np.float32)
    offsets = rng.uniform(-3, 3, (2, 4, 2)).astype(np.float32)
    old, new = (m.predict_objects(counts, offsets)[0] for m in (model, again))
    assert np.array_equal(old, new)


def test_options_that_were_not_given_are_archived_too(tmp_path: Path) -> None:
    """A default that changes later must not make old weights unreadable."""
    save_run(_model(), TrainConfig(), tmp_path)
    record = json.loads((tmp_path / "model.json").read_text())
    assert set(record["network_options"]) == {"width", "deep_blocks", "last_blocks"}
    assert record["estimate_steps"][-1] >= 1


def test_config_and_hash_come_back(run: Path) -> None:
    loaded = load_run(run)
    assert loaded.config == TrainConfig(seed=3)
    assert len(loaded.config_hash) == 16


def _rewrite(run: Path, name: str, change: Any) -> None:
    """Alter a file and put its new checksum into the manifest, as an attacker would."""
    path = run / name
    if name.endswith(".json"):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    else:
        with h5py.File(path, "a") as file:
            change(file)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))


class _Boom:
    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return (eval, ("__import__('pathlib').Path('owned').write_text('x')",))


def _link_out(file: h5py.File) -> None:
    del file["weights/0000"]
    file["weights/0000"] = h5py.ExternalLink("/etc/hostname", "/")


def _pickle_in(file: h5py.File) -> None:
    del file["weights/0000"]
    file["weights/0000"] = np.void(pickle.dumps(_Boom()))


def _resize(file: h5py.File) -> None:
    del file["weights/0000"]
    file["weights/0000"] = np.zeros(3, np.float32)


HOSTILE = [
    ("model.json", lambda c: c.update(network="os:system"), "cannot be built"),
    ("model.json", lambda c: c.update(class_name="Lambda"), "schema"),
    ("model.json", lambda c: c.update(N=10**9), "schema"),
    ("model.json", lambda c: c["network_options"].update(seed=1), "cannot be built"),
    ("model.json", lambda c: c.update(N=4096, probe_modes=64), "larger than its weights"),
    ("model.json", lambda c: c["network_options"].update(width=10**7), "larger than its weights"),
    ("config.json", lambda c: c.update(__reduce__="x"), "schema"),
    ("weights.h5", _link_out, "not in its file"),
    ("weights.h5", _pickle_in, "does not fit"),
    ("weights.h5", _resize, "does not fit"),
]


@pytest.mark.parametrize(("name", "change", "message"), HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_runs(
    run: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Any, message: str
) -> None:
    monkeypatch.chdir(run.parent)
    _rewrite(run, name, change)
    with pytest.raises(ArchiveError, match=message):
        load_run(run)
    assert not (run.parent / "owned").exists()


@pytest.mark.parametrize("name", ["config.json", "model.json", "weights.h5", "manifest.json"])
def test_a_pickle_under_any_name_is_no_archive(run: Path, name: str) -> None:
    (run / name).write_bytes(pickle.dumps(_Boom()))
    with pytest.raises(ArchiveError):
        load_run(run)


def test_an_altered_or_missing_file_is_named(run: Path) -> None:
    (run / "model.json").write_text((run / "model.json").read_text() + " ")
    with pytest.raises(ArchiveError, match=r"model\.json"):
        load_run(run)
    (run / "weights.h5").unlink()
    with pytest.raises(ArchiveError):
        load_run(run)
    with pytest.raises(ArchiveError, match="no finished run"):
        load_run(run.parent / "nothing")


def test_a_newer_schema_is_refused(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(ArchiveError, match="99"):
        load_run(run)


def test_loading_imports_nothing_that_unpickles(run: Path) -> None:
    """`pickle.loads` and `eval` are booby-trapped in a fresh process; the archive still loads."""
    code = (
        "import keras, tensorflow, pickle, builtins, sys\n"
        "def trap(*a, **k): raise SystemExit('trap')\n"
        "pickle.load = pickle.loads = trap\n"
        "import ptycho\n"
        f"print(ptycho.load({str(run)!r}).N)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.split()[-1] == str(N)
