"""Figures: matplotlib objects without global state, written as PNG."""
