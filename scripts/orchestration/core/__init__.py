"""The pure core: events, state = reduce(events), decide(state, items, config); no I/O at all."""
