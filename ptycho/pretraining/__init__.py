"""Where the prior comes from: made scans with truth, training, and the judgement of both."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
