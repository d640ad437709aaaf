"""Gates: what the harness measures itself, because a claim is not evidence."""
