"""The loop and its cycle: which step is next, and when to stop."""
