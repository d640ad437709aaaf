"""The event log on disk, its publication on a branch, and the inbox."""
