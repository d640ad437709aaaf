"""`RawData` of the earlier package; see docs/migration.md. The code is in `ptycho.earlier`."""

from ptycho.earlier import RawData

__all__ = ["RawData"]
