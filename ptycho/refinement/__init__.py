"""The parts of `ptycho.refinement.run`: configuration, start, the compiled update, the loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
