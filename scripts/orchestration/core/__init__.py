"""The pure core: events, state = replay(events), decide(state, items, config); no I/O at all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
