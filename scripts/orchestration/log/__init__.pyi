from . import inbox as inbox
from . import publish as publish
from .publish import read_branch as read_branch
from .store import EventLog as EventLog
from .store import import_events as import_events
from .store import read_export as read_export
from .store import recover as recover
from .store import set_aside as set_aside
