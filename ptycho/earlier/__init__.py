"""Every name and habit of the earlier package, on today's code; see docs/migration.md."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
