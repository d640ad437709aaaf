"""`RawData` of the earlier package; see docs/migration.md. The code is in `ptycho.earlier`."""

from ptycho.earlier.raw_data import RawData

__all__ = ["RawData"]
