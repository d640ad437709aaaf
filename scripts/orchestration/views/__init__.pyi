from .model import SIDES as SIDES
from .model import side_words as side_words
from .page import render_page as render_page
from .sources import evidence_of as evidence_of
from .sources import load as load
from .sources import read_events as read_events
from .terminal import render_status as render_status
