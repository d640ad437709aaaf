"""Plans and summaries of an initiative (`plans/active/<ID>/`)."""
