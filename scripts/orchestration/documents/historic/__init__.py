"""Everything old: what reads or rewrites a historic form stands here, and upgrades it once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
