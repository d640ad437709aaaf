"""How good is a reconstruction: metrics, half sets, and the look at a scan before any work."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
