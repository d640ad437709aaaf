from .doctor import examine as examine
from .init import prepare as prepare
from .session import open_harness as open_harness
