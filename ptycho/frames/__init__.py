"""Frames before they are light: lazy views, thinning, neighbour groups, file-backed arrays."""
