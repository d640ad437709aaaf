"""Black out credentials in what a turn wrote: every log and report file, whatever its name.

Bytes are read as Latin-1, so that invalid UTF-8 or a NUL hides nothing and all the rest of a file
stays as it was.
"""

from __future__ import annotations

from pathlib import Path

from orchestration.gates import secrets

# Arrays and pictures are no logs; a file of another kind past the cap is an artifact, not a log
# (the harness's own logs end at 16 MiB).
ARRAYS = {".npy", ".npz", ".h5", ".hdf5", ".cxi", ".png", ".jpg", ".tif", ".tiff", ".gz", ".zip"}
CAP_BYTES = 32 << 20


def black_out(folder: Path) -> list[secrets.Leak]:
    """Overwrite every credential below `folder`; returns what was found, by path inside it."""
    found: list[secrets.Leak] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.suffix.lower() in ARRAYS:
            continue
        if path.stat().st_size > CAP_BYTES:
            continue
        with path.open(encoding="latin-1", newline="") as lines:
            numbered = enumerate(lines, start=1)
            leaks = secrets.scan_lines(numbered, path.relative_to(folder).as_posix())
        if leaks:
            text = path.read_bytes().decode("latin-1")
            path.write_bytes(secrets.redact(text).encode("latin-1"))
            found += leaks
    return found
