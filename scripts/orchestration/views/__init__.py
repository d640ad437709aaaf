"""Views: what a person sees. Everything is computed from the log, the ledger and the branch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
