"""Metrics on complex images: gauge first, then numbers. NumPy, SciPy and scikit-image only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
