"""Every name and habit of the earlier package, on today's code; see docs/migration.md."""
