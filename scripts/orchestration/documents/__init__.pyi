from . import kinds as kinds
from .repository import Checkout as Checkout
from .repository import Collect as Collect
from .repository import cached as cached
from .repository import find_root as find_root
