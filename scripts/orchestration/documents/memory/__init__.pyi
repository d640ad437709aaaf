from .reader import Entry as Entry
from .reader import Memory as Memory
from .reader import claimed_actions as claimed_actions
from .reader import meaning as meaning
from .reader import parse_memory as parse_memory
from .view import add_entries as add_entries
