"""One exception tree: every message says what, where, expected, got, and what to type next.

The command line turns any `PtychoError` into words at one place (`ptycho.cli.app.main`) and
exits with its `exit_code`; anything else that escapes is a bug and keeps its traceback.
Exit codes: 0 success, 1 the work failed, 2 wrong usage or configuration, 3 unusable data.
"""

from __future__ import annotations


class PtychoError(Exception):
    """A mistake that a person can fix.

    Args:
        what: one sentence, what went wrong.
        where: the file, key or argument it concerns.
        expected: what would have been right.
        got: what was found.
        fix: the next thing to do or type.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.got, self.fix = what, where, expected, got, fix
        rows = [("where", where), ("expected", expected), ("got", got), ("fix", fix)]
        lines = [what] + [f"  {name}: {value}" for name, value in rows if value is not None]
        super().__init__("\n".join(lines))


class UsageError(PtychoError):
    """A command or function was called in a way that has no meaning."""

    exit_code = 2


class ConfigError(PtychoError):
    """A configuration key or value is unknown, of the wrong type, or contradicts another."""

    exit_code = 2


class ShapeError(PtychoError):
    """Two arrays that belong together do not fit; both shapes are named."""

    exit_code = 3


class ProbeSizeError(ShapeError):
    """The probe is not as large as the frames."""


class LabelsError(ShapeError):
    """Ground-truth patches (`Y`) that are not one for each frame, or of another size."""


class LayoutError(ShapeError):
    """No axis of the frames is the scan's, or more than one can be."""


class ModelError(PtychoError):
    """A network cannot be built, trained or applied as asked."""


class CollapseError(ModelError):
    """The network answers with a constant: std(prediction)/std(reference) is below 0.05."""


class ClusterError(PtychoError):
    """Workers or the scheduler do not do what they were given."""


class MissingPartError(PtychoError):
    """An optional part (a backend, a program) is not installed."""


class DataError(PtychoError):
    """A file or a scan cannot be used as it is."""

    exit_code = 3


class ArchiveError(DataError):
    """A saved run is incomplete, altered, or from a schema this version does not know."""


class MissingFileError(DataError):
    """No such file, or it may not be read."""


class UnknownFormatError(DataError):
    """The bytes of the file fit no format that this version reads."""


class DamagedFileError(DataError):
    """The file is truncated or cannot be decoded."""


class MissingKeyError(DataError):
    """A required array or dataset is not in the file."""


class WrongTypeError(DataError):
    """An array holds text, objects (pickles) or the wrong number of values."""


class MeasurementError(DataError):
    """The file does not say whether its frames are counts or amplitudes."""


class ValueRangeError(DataError):
    """NaN, infinity, a negative count, or a size or unit that cannot be meant."""


class UnitError(DataError):
    """A physical quantity is missing or its unit cannot be right."""


class BusyFileError(DataError):
    """The file is being written by another program, and what is there cannot be read yet."""


class NearFieldError(DataError):
    """The scan is one of the near field, or of Fourier ptychography, which this does not model."""


class LinkError(DataError):
    """An HDF5 link leads out of the file."""


class MaskPolarityError(DataError):
    """The mask marks the valid pixels as bad (True = valid), or leaves none."""


class PositionsOutsideObjectError(DataError):
    """Positions whose patches do not touch the object that comes with them."""


class DuplicatePositionsError(DataError):
    """Two frames claim the very same position."""


class IntegerPositionsError(WrongTypeError):
    """Positions are stored as integers: indices, or pixels whose fractions were lost."""


class TooLargeError(ValueRangeError):
    """A file declares more data than its size or the memory can justify."""
