"""Agents: programs that do the work of a turn. They claim; the gates measure."""
