"""The supervisor's memory (`galph_memory.md`): read, and written as a view."""
