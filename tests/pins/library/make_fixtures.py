"""Write tests/fixtures/pins/library: what the program makes and says today.

Run once, at commit f264b61, before the modules of `ptycho` moved into folders, by

    CUDA_VISIBLE_DEVICES= .venv/bin/python tests/pins/library/make_fixtures.py

with Python 3.11 and the versions of constraints.txt (TensorFlow 2.21 on a CPU). Running it again
replaces the pins by whatever the program does then, so that they pin nothing any more: do it only
for a change of behaviour that is wanted, and say so in the commit.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pins_library as pins

import ptycho


def main() -> None:
    shutil.rmtree(pins.FIXTURES, ignore_errors=True)
    pins.FIXTURES.mkdir(parents=True)
    os.chdir(pins.FIXTURES)  # so that no path of this machine gets into a file
    ptycho.save_scan(pins.simulate(), "scan.npz")
    record: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    _network(record, arrays)
    _results(record, arrays)
    np.savez_compressed("arrays.npz", **arrays)
    _write("numbers.json", record)
    _commands()


def _network(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """A training with its archive, and what the archived network predicts."""
    trained = pins.train(Path("run"))
    Path("run/history.png").unlink()  # a picture, half of the bytes, and no part of the archive
    record["training"] = {
        "history": pins.timeless(trained.history),
        "best_epoch": trained.best_epoch,
        "collapse_ratio": trained.collapse_ratio,
    }
    network = ptycho.reconstruct("run", pins.scan())
    arrays["network_object"], arrays["network_coverage"] = network.object, network.coverage
    record["network"] = {"origin_px": network.origin_px, "groups": network.meta["groups"]}
    # Every other pixel of canvases says as much about the loaded weights as all of them.
    objects, coverages = pins.predict_two_groups(Path("run"))
    arrays["groups_object"], arrays["groups_coverage"] = (
        images[:, ::2, ::2] for images in (objects, coverages)
    )


def _results(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """The untrained estimate and two refinements, their files, and what the files hold."""
    ptycho.save_reconstruction(pins.untrained(), "untrained.h5")
    scratch = pins.refine_from_scratch()
    arrays["scratch_object"] = scratch.reconstruction.object
    started = pins.refine_from_start()
    ptycho.save_reconstruction(started.reconstruction, "refined.h5")
    for name, result in (("scratch", scratch), ("started", started)):
        record[name] = {
            "history": pins.timeless(result.history),
            "residual": result.residual,
            "deviance_per_pixel": result.deviance_per_pixel,
            "iterations": result.iterations,
            "mode_shares": result.reconstruction.meta["mode_shares"],
        }
    for name in ("untrained", "refined"):
        rec = ptycho.load_reconstruction(f"{name}.h5")
        # Beside the file, so that a reader that turns or scales it is seen.
        arrays[f"{name}_object"] = rec.object[::3, ::3]
        record[name] = {
            "origin_px": rec.origin_px,
            "photons_seen": float(rec.coverage.sum(dtype=float)),
            "region_px": int(rec.region().sum()),
            "probe_photons": float(np.sum(np.abs(rec.probe) ** 2, dtype=float)),
            "meta_keys": sorted(rec.meta),
            "against_truth": pins.numbers(ptycho.evaluate(rec, pins.scan())),
        }


def _commands() -> None:
    """Help texts, settings, and the codes and words of mistakes."""
    helps, mistakes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        pins.fill_work_folder(Path(folder))
        os.chdir(folder)
        for line in pins.HELP:
            code, out, err = pins.say(line)
            helps[line] = {"code": code, "text": (out + "\n" + err).strip("\n").split("\n")}
        for line in pins.MISTAKES:
            code, out, err = pins.say(line)
            mistakes[line] = {"code": code, "stdout": out, "message": pins.first_words(err)}
        os.chdir(pins.FIXTURES)
    _write("commands.json", {"writers": pins.writers(), "help": helps, "mistakes": mistakes})


def _write(name: str, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (pins.FIXTURES / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
