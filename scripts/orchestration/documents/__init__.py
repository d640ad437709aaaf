"""The harness's documents: orders, ledger, findings, memory, plans, summaries.

Each document has one reader, one canonical form and one validator; the command line, the gates and
the views share them. Nothing here touches git, runs a process or imports more than the standard
library: callers pass collection, file and history lookups in as functions.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
