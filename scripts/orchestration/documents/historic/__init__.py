"""Everything old: what reads or rewrites a historic form stands here, and upgrades it once."""
