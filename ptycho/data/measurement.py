"""What the numbers of the frames are: photons, or the square roots of photons."""

from __future__ import annotations

from pathlib import Path

from ptycho.errors import MeasurementError

COUNTS, AMPLITUDE = "counts", "amplitude"
MEANINGS = (COUNTS, AMPLITUDE, "intensity")


def agreed(said: str | None, wanted: str | None, where: str | Path) -> str | None:
    """What the file says (nothing: None or "") that its numbers are, else what the caller says.

    Counts and intensity are the same to every reader, so they do not contradict each other.

    Raises:
        MeasurementError: an unknown word, or the two contradict each other.
    """
    for word in (said or None, wanted):
        if word is not None and word not in MEANINGS:
            raise MeasurementError(
                "not a kind of measurement", where=where, expected=" | ".join(MEANINGS), got=word
            )
    if said and wanted and (said == AMPLITUDE) != (wanted == AMPLITUDE):
        raise MeasurementError(
            "the file and the caller contradict each other",
            where=where,
            expected=f"{said}, as the file says",
            got=wanted,
        )
    return said or wanted
