"""Frames before they are light: lazy views, thinning, neighbour groups, file-backed arrays."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
