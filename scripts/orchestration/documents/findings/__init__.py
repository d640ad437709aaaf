"""Findings (`docs/findings.md`): durable lessons."""
