from . import fence as fence
from . import pids as pids
from .fence import LEVELS as LEVELS
from .fence import choose as choose
from .orphans import end_orphans as end_orphans
from .process import ChildResult as ChildResult
from .process import run_child as run_child
from .process import scrub_env as scrub_env
