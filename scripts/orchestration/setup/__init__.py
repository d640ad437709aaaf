"""Making a repository ready, and saying what is missing: init, doctor."""
