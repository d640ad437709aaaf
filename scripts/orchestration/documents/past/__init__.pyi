from .events import HistoryEvent as HistoryEvent
from .events import ledger_events as ledger_events
from .events import memory_events as memory_events
from .stats import MemoryStats as MemoryStats
from .stats import ledger_stats as ledger_stats
from .stats import memory_stats as memory_stats
