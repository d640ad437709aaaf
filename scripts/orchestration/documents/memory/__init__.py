"""The supervisor's memory (`galph_memory.md`): read, and written as a view."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
