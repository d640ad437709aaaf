"""`reconstruct`: predict, align phases, stitch; and the dump of what passed through."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
