"""What `ptycho bench` measures: ratios within one run, beside the machine they were taken on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
