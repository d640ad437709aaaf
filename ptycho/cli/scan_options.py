"""The options that every command which opens a scan has, at one place."""

from __future__ import annotations

import functools
import inspect as signatures
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ptycho.errors import PtychoError

if TYPE_CHECKING:
    from ptycho.frames import Ways
    from ptycho.scan import Scan

SLICE = re.compile(r"^[-\d:, ]*\d[-\d:, ]*$|^:+$")
PANEL = "How the frames are taken in"


@dataclass(frozen=True)
class Opening:
    """How scans are to be opened.

    Args:
        measurement: what the numbers are, or None.
        frames: a file with the frames, or None.
        ways: which frames and pixels, and how they lie.
        clean: what `--clean` said, or None.
        orientation: what `--orientation` said, or None.
    """

    measurement: str | None
    frames: Path | None
    ways: Ways
    clean: str | None
    orientation: str | None

    def open(self, path: Path, clean: str = "auto", **more: Any) -> Scan:
        """The scan at `path`, looked at as `clean` (or `--clean`) says."""
        from ptycho.data import open_scan

        if self.orientation is not None:
            return self.oriented(path, clean).open(path, clean, **more)
        ways = self.ways.model_copy(update={"clean": self.clean or clean})
        return open_scan(
            path,
            measurement=self.measurement,  # type: ignore[arg-type]
            frames=self.frames,
            ways=ways,
            **more,
        )

    def oriented(self, path: Path, clean: str = "auto") -> Opening:
        """With `--orientation auto`: the same with the way in which the frames of `path` lie."""
        if self.orientation is None:
            return self
        from ptycho import quiet
        from ptycho.cli import console

        scan = replace(self, orientation=None).open(path, clean)
        quiet.load_tensorflow()
        from ptycho.refinement import find_orientation

        with console.progress("orientation") as bar:
            found = find_orientation(scan, progress=bar)
        console.stderr.print(f"{path.name}: {found.sentence()}", markup=False, soft_wrap=True)
        ways = self.ways.model_copy(update={**found.ways, "orientation": found.record()})
        return replace(self, ways=ways, orientation=None)

    def settings(self) -> list[str]:
        """`--clean` as a setting, so that it wins over a file."""
        return [] if self.clean is None else [f"clean={self.clean}"]

    def record(self) -> dict[str, Any]:
        """What `open` was told, for the record of a result."""
        return {
            "measurement": self.measurement,
            "frames_path": None if self.frames is None else str(self.frames.resolve()),
            "ways": self.ways.asked(),
        }


def _options() -> dict[str, tuple[Any, Any]]:
    def option(help_: str, *names: str, default: Any = None, **more: Any) -> Any:
        return typer.Option(default, *names, help=help_, rich_help_panel=PANEL, **more)

    return {
        "measurement": (
            str | None,
            option("counts, amplitude or intensity, where the file does not say."),
        ),
        "frames": (
            str | None,
            option(
                "START:STOP:STEP takes these frames; a FILE is the diffraction file of a "
                "ptychodus product, or the .ptyd of a .ptyr.",
                metavar="SLICE|FILE",
            ),
        ),
        "clean": (
            str | None,
            option(
                "auto (default): mask bad pixels and leave out bad frames; report; off.",
                metavar="auto|report|off",
            ),
        ),
        "leave_out": (str | None, option("Frames not to use: 3,17,40:50.", metavar="NUMBERS")),
        "mask": (
            Path | None,
            option("A mask: NPY, NPZ, HDF5 (FILE:/DATASET), PNG; nonzero = valid."),
        ),
        "crop": (int | None, option("Keep a window of so many pixels.", metavar="PIXELS")),
        "bin": (int, option("Sum so many × so many pixels.", default=1, metavar="PIXELS")),
        "center": (
            str | None,
            option(
                "Pixel of the direct beam, which becomes the centre; auto: where the light is.",
                metavar="ROW,COL|auto",
            ),
        ),
        "transpose": (
            bool,
            option("Exchange rows and columns of the frames.", "--transpose", default=False),
        ),
        "flip": (str | None, option("Reverse the frames' axes.", metavar="rows|cols|both")),
        "orientation": (
            str | None,
            option(
                "auto: try all eight ways the frames may lie, judged by held-out counts.",
                metavar="auto",
            ),
        ),
        "match": (
            str | None,
            option(
                "Another number of positions than frames: first, or nearest (spread evenly).",
                metavar="first|nearest",
            ),
        ),
        "follow_links": (
            bool,
            option("Read what links to files in the same folder.", "--follow-links", default=False),
        ),
        "positions_unit": (
            str | None,
            option("Unit of positions where the file does not say: m, mm, um, nm.", metavar="UNIT"),
        ),
    }


def scan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of this module; it gets them as `opening` (an `Opening`)."""
    own = signatures.signature(command, eval_str=True)
    options = _options()
    kept = [p for p in own.parameters.values() if p.name != "opening"]
    added = [
        signatures.Parameter(
            name, signatures.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )
        for name, (kind, default) in options.items()
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in options}
        try:
            opening = _opening(**chosen)
        except PtychoError as error:
            raise _of_the_command(error, command.__name__, given.values()) from error
        command(**given, opening=opening)

    wrapped.__signature__ = signatures.Signature([*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
    del wrapped.__wrapped__  # type: ignore[attr-defined]
    return wrapped


def _of_the_command(error: PtychoError, name: str, given: Iterable[Any]) -> PtychoError:
    """The same error with the file that was to be opened, and a command that helps."""
    file = next((value for value in given if isinstance(value, Path)), None)
    where = error.where if file is None else f"{file}: {error.where}"
    fix = f"ptycho {name.strip('_').replace('_', '-')} --help"
    return type(error)(error.what, where=where, expected=error.expected, got=error.got, fix=fix)


def _opening(
    *,
    measurement: str | None,
    frames: str | None,
    clean: str | None,
    center: str | None,
    orientation: str | None,
    **ways: Any,
) -> Opening:
    from ptycho.errors import UsageError
    from ptycho.frames import CLEAN, Ways

    if clean is not None and clean not in CLEAN:
        raise UsageError(
            "unknown way to clean", where="--clean", expected=", ".join(CLEAN), got=clean
        )
    if orientation not in (None, "auto"):
        raise UsageError(
            "unknown orientation",
            where="--orientation",
            expected="auto; or say it with --transpose and --flip",
            got=orientation,
        )
    if orientation is not None and (ways["transpose"] or ways["flip"]):
        raise UsageError(
            "the orientation is either found or said",
            where="--orientation auto",
            expected="no --transpose and no --flip beside it",
            got="both",
        )
    numbers = frames is not None and SLICE.match(frames) is not None and not Path(frames).exists()
    return Opening(
        measurement,
        None if frames is None or numbers else Path(frames),
        Ways(frames=frames if numbers else None, center=_pair(center), **ways),
        clean,
        orientation,
    )


def _pair(text: str | None) -> Any:
    from ptycho.errors import UsageError

    if text in (None, "auto"):
        return text
    try:
        row, col = (float(part) for part in str(text).split(","))
    except ValueError:
        raise UsageError(
            "this is not a pixel", where="--center", expected="ROW,COL or auto", got=text
        ) from None
    return row, col
