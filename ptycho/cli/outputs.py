"""Where a reconstruction may be written: looked at before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from ptycho.errors import UsageError


def check_output(target: Path) -> None:
    """Make the folder of `target`; refuse a folder, and any file that is no reconstruction.

    A reconstruction of an earlier run is replaced; a scan given to `-o` by mistake is not.
    """
    from ptycho.data.result import is_reconstruction

    if target.is_dir():
        raise UsageError(
            "the output must be a file", where="--output", expected="OUT.h5", got=target
        )
    if target.exists() and not is_reconstruction(target):
        raise UsageError(
            "this file would be overwritten, and it is no reconstruction",
            where=f"--output {target}",
            expected="a new name, or a file that ptycho wrote",
            got="another file",
            fix=f"choose another name, or remove {target}",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
