"""The ledger (``docs/fix_plan.md``): one place to import its types, reader and edits from.

The reader accepts every historic form (bracketed items at any heading level, the single-focus
report with ``## TODOs``); edits return a new text that differs in the edited spans only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
