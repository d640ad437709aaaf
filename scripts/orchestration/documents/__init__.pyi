from . import kinds as kinds
from .fix import Fixed as Fixed
from .fix import rewrite as rewrite
from .repository import Checkout as Checkout
from .repository import Collect as Collect
from .repository import cached as cached
from .repository import find_root as find_root
