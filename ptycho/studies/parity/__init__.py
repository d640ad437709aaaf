"""Forward parity: the same weights and inputs through each backend, compared tap by tap."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
