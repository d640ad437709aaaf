"""The only door to git: command, objects, repository, remote."""
