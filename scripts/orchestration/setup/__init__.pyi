from .doctor import examine as examine
from .history import History as History
from .history import read_history as read_history
from .init import Wishes as Wishes
from .init import prepare as prepare
from .session import open_harness as open_harness
