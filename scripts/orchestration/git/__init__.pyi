from . import remote as remote
from .objects import TreeEntry as TreeEntry
from .remote import Upstream as Upstream
from .remote import upstream_of as upstream_of
from .repository import DiffEntry as DiffEntry
from .repository import MergeRefused as MergeRefused
from .repository import RefMoved as RefMoved
from .repository import Repo as Repo
