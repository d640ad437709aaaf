"""The pretrained network that corrects a whole-scan image: input, weights, application."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
