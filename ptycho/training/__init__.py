"""`train`: the loop, what a step is fed, checkpoints, history, the collapse detector."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
