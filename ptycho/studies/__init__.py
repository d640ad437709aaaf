"""Whole studies over the public API: many arms, one table, one figure, one page."""
