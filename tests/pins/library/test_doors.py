"""The doors that others go through: import paths, commands, scripts and node ids stay.

What stands behind a door may move; modules that are no door are not named here.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

DOORS = {
    "ptycho": (
        "PtychoError", "ReconstructConfig", "Reconstruction", "RefineConfig", "Scan",
        "SimulationConfig", "TrainConfig", "__version__", "evaluate", "load",
        "load_reconstruction", "open_scan", "reconstruct", "refine", "save_reconstruction",
        "save_scan", "simulate", "train",
    ),
    "ptycho.data": ("open_scan", "save_scan"),
    "ptycho.errors": (
        "PtychoError", "UsageError", "ConfigError", "ShapeError", "ModelError", "CollapseError",
        "MissingPartError", "DataError", "ArchiveError", "MissingFileError",
        "UnknownFormatError", "DamagedFileError", "MissingKeyError", "MeasurementError",
    ),
    "ptycho.model": ("PtychoPINN", "create_model_with_gridsize"),
    "ptycho.physics": (
        "Scaling", "canvas_size_for", "diffract", "extract", "merge", "poisson_deviance",
        "stitch", "translate",
    ),
    "ptycho.projective_warp_xla": (
        "projective_warp_xla", "projective_warp_xla_jit", "translate_xla",
    ),
    "ptycho.raw_data": ("RawData",),
    "ptycho.scan": ("Geometry", "Scan", "Truth"),
    "ptycho.tf_helper": (
        "Translation", "channel_to_flat", "combine_complex", "extract_patches_position",
        "flat_to_channel", "flatten_offsets", "pad_patches", "reassemble_patches_position",
        "translate", "translate_core", "translate_xla", "trim_reconstruction",
    ),
}  # fmt: skip
RAW_DATA = (
    "from_file",
    "to_file",
    "xcoords",
    "ycoords",
    "diff3d",
    "probeGuess",
    "objectGuess",
    "generate_grouped_data",
)
COMMANDS = ("ptycho", "ptycho_evaluate", "ptycho_inference", "ptycho_train")
SCRIPTS = {
    "scripts/training/train.py": "ptycho_train",
    "scripts/inference/inference.py": "ptycho_inference",
    "scripts/studies/dose_response_study.py": "ptycho study dose",
}
NODES = (
    "tests/tf_helper/test_translation_shape_guard.py::test_non_xla_translation_guard",
    "tests/tf_helper/test_translation_shape_guard.py::test_xla_translation_guard",
    "tests/test_model_factory.py::test_multi_n_model_creation",
    "tests/test_model_factory.py::test_import_no_side_effects",
    "tests/test_model_factory.py::TestXLAReenablement::test_multi_n_with_xla_enabled",
)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in DOORS.items() for name in names]
)
def test_a_name_is_found(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize(
    "module", ["ptycho", "ptycho.physics", "ptycho.projective_warp_xla", "ptycho.tf_helper"]
)
def test_a_module_offers_these_names(module: str) -> None:
    # A room may offer more today; what it offered then must not be lost.
    assert set(DOORS[module]) <= set(importlib.import_module(module).__all__)


def test_the_same_things_stand_behind_doors_of_the_same_name() -> None:
    import ptycho
    from ptycho import data, errors, scan

    assert ptycho.Scan is scan.Scan and ptycho.PtychoError is errors.PtychoError
    assert ptycho.open_scan is data.open_scan and ptycho.save_scan is data.save_scan


def test_raw_data_has_the_earlier_names() -> None:
    from ptycho.raw_data import RawData

    assert [name for name in RAW_DATA if not hasattr(RawData, name)] == []


def test_models_of_the_earlier_module_are_refused_with_the_factorys_name() -> None:
    from ptycho import model

    for name in ("autoencoder", "diffraction_to_obj"):
        with pytest.raises(AttributeError, match="create_model_with_gridsize"):
            getattr(model, name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_installed(name: str) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    assert callable(entry.load())


@pytest.mark.parametrize("words", [["-m", "ptycho"], *([script] for script in SCRIPTS)])
def test_python_runs_it(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert SCRIPTS.get(words[-1], "ptycho") in done.stdout


@pytest.mark.parametrize("node", NODES)
def test_a_node_id_exists(node: str) -> None:
    file, *names = node.split("::")
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for name in names:
        (found,) = [each for each in body if getattr(each, "name", None) == name]
        assert isinstance(found, ast.FunctionDef if name == names[-1] else ast.ClassDef)
        body = found.body
