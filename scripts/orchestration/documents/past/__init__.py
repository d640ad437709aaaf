"""What the records of a project tell of its past: claims as events, claims recomputed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
