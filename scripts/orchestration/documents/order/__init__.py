"""The order (``input.md``): one place to import its types, reader and writer from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
