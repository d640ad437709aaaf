"""`PtychoPINN` and what it is made with, told and kept in: the factory, inputs, the archive."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
