"""A supervisor/worker loop that develops a Python library under guard tests, and measures."""

__version__ = "0.1.0"
