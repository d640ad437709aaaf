"""Generated objects: lines, star, random field, blobs, leaves, cells, crystals, meshes, letters.

Closed forms or seeded draws.

Sizes are in pixels and do not follow the picture's size, so that a longer scan shows more of the
same texture instead of a magnified one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial import cKDTree

STAR_SPOKES = 36
GRF_POWER_SLOPE = -3.0
LINE_COUNT_PER_PX = 0.25
BLOB_SIGMA_PX = (2.0, 6.0)
BLOB_AREA_PX2 = 150.0
LEAF_RADIUS_PX = (2.0, 40.0)
LEAF_AREA_PX2 = 75.0  # mean of the r^-3 law between these radii
CELL_AREA_PX2 = (250.0, 1200.0)
GRAIN_AREA_PX2 = 1200.0
FRINGE_PX = (4.0, 10.0)
MESH_PERIOD_PX = (7.0, 20.0)
LETTER_PX = (8, 22)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=().,;:"


def lines(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Straight lines of 1 to 4 px width, any direction, values added and cut at 1."""
    height, width = shape
    rows, cols = np.ogrid[:height, :width]
    image = np.zeros(shape)
    for _ in range(max(4, round(LINE_COUNT_PER_PX * (height + width) / 2))):
        angle = rng.uniform(0, np.pi)
        centre = rng.uniform(0, 1, 2) * (height, width)
        half_width = rng.uniform(0.5, 2.0)
        value = rng.uniform(0.2, 1.0)
        distance = np.abs((rows - centre[0]) * np.cos(angle) - (cols - centre[1]) * np.sin(angle))
        image += value * np.clip(half_width + 0.5 - distance, 0, 1)
    return np.minimum(image, 1)


def siemens(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Siemens star with 36 spokes in the middle; edges blend over one pixel. Draws nothing."""
    rows, cols = (np.arange(side) - (side - 1) / 2 for side in shape)
    radius = np.hypot(rows[:, None], cols[None, :])
    angle = np.arctan2(rows[:, None], cols[None, :])
    # A spoke and its gap span 2π/36; along the circle, a step of one pixel is 1/radius.
    edge_px = np.sin(STAR_SPOKES * angle) * radius / STAR_SPOKES
    star = np.clip(0.5 + edge_px, 0, 1)
    outer = 0.48 * min(shape)
    return star * np.clip(outer - radius + 0.5, 0, 1)


def grf(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field, power ∝ f^-3, cut at 3 sigma and mapped to [0, 1]."""
    rows, cols = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    frequency = np.hypot(rows[:, None], cols[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * frequency ** (GRF_POWER_SLOPE / 2)
    field = np.fft.irfft2(spectrum, s=shape)
    return np.clip(field / (6 * field.std()) + 0.5, 0, 1)


def blobs(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Round Gaussian blobs of sigma 2 to 6 px; 1 - Π(1 - blob), so overlaps do not exceed 1."""
    height, width = shape
    empty = np.ones(shape)
    for _ in range(max(3, round(height * width / BLOB_AREA_PX2))):
        centre = rng.uniform(0, 1, 2) * (height, width)
        sigma, value = rng.uniform(*BLOB_SIGMA_PX), rng.uniform(0.3, 1.0)
        top, left = (max(0, int(c - 5 * sigma)) for c in centre)
        bottom, right = (int(c + 5 * sigma) + 2 for c in centre)
        window = empty[top:bottom, left:right]
        rows = np.arange(top, top + window.shape[0])[:, None] - centre[0]
        cols = np.arange(left, left + window.shape[1])[None, :] - centre[1]
        window *= 1 - value * np.exp(-(rows**2 + cols**2) / (2 * sigma**2))
    return 1 - empty


def dead_leaves(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Opaque disks, density of radii ∝ r^-3, the first one on top (Matheron; Lee et al. 2001).

    Disks go in from the front until no pixel is free: that is the stationary model, not one
    that still shows where it began. Disks of ten times the area leave e^-10 of the pixels free;
    those take one value.
    """
    height, width = shape
    image = np.full(shape, np.nan)
    small, large = LEAF_RADIUS_PX
    free = height * width
    area = (height + 2 * large) * (width + 2 * large)
    for _ in range(round(10 * area / LEAF_AREA_PX2)):
        # Inverse of the distribution function of r^-3 on [small, large].
        radius = (small**-2 - rng.uniform() * (small**-2 - large**-2)) ** -0.5
        centre = rng.uniform(0, 1, 2) * (height + 2 * large, width + 2 * large) - large
        value = rng.uniform()
        top, left = (int(max(0, c - radius)) for c in centre)
        bottom, right = (int(max(0, c + radius + 2)) for c in centre)
        window = image[top:bottom, left:right]
        rows = np.arange(top, top + window.shape[0])[:, None] - centre[0]
        cols = np.arange(left, left + window.shape[1])[None, :] - centre[1]
        lit = np.isnan(window) & (rows**2 + cols**2 <= radius**2)
        window[lit] = value
        free -= int(lit.sum())
        if not free:
            break
    return np.where(np.isnan(image), rng.uniform(), image)


def cells(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Polygonal cells (Voronoi) with dark walls, a value each, and a round nucleus in most."""
    near, which, count = _voronoi(shape, rng.uniform(*CELL_AREA_PX2), rng)
    value = rng.uniform(0.45, 1.0, count)
    radius = np.where(rng.uniform(size=count) < 0.8, rng.uniform(2.0, 6.0, count), -2.0)
    shade = rng.uniform(0.1, 0.45, count)
    # (d2 - d1)/2 is about the distance from the wall.
    wall = np.clip((near[1] - near[0]) / 2 - rng.uniform(0.3, 1.5), 0, 1)
    nucleus = np.clip(radius[which] + 0.5 - near[0], 0, 1)
    return wall * (value[which] * (1 - nucleus) + shade[which] * nucleus)


def crystals(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Grains (Voronoi), each with two crossed fringes of its own direction and period."""
    _, which, count = _voronoi(shape, GRAIN_AREA_PX2, rng)
    rows, cols = np.indices(shape)
    image = np.zeros(shape)
    angle, strength = rng.uniform(0, np.pi, count), rng.uniform(0.3, 1.0, count)
    for turn in (0.0, np.pi / 2 * rng.uniform(0.6, 1.0)):
        wave = 2 * np.pi / rng.uniform(*FRINGE_PX, count)
        start = rng.uniform(0, 2 * np.pi, count)
        row, col = (wave * part(angle + turn) for part in (np.cos, np.sin))
        image += np.cos(row[which] * rows + col[which] * cols + start[which])
    return np.clip(0.5 + 0.25 * strength[which] * image, 0, 1)


def meshes(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A grid of two crossed families of bars, at any angle; edges blend over one pixel."""
    rows, cols = np.indices(shape)
    angle = rng.uniform(0, np.pi)
    open_ = np.ones(shape)
    for turn in (angle, angle + np.pi / 2 * rng.uniform(0.7, 1.0)):
        period = rng.uniform(*MESH_PERIOD_PX)
        bar = period * rng.uniform(0.15, 0.5)
        along = np.cos(turn) * rows + np.sin(turn) * cols + rng.uniform(0, period)
        off = np.abs(along % period - period / 2)
        open_ *= 1 - np.clip(bar / 2 + 0.5 - off, 0, 1)
    return 1 - open_


def letters(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Lines of random letters and figures in one size, in the sans-serif font of matplotlib."""
    from matplotlib import font_manager

    size = int(rng.integers(*LETTER_PX))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    sheet = Image.new("L", (shape[1], shape[0]), 0)
    draw = ImageDraw.Draw(sheet)
    pitch = size * rng.uniform(1.05, 1.5)
    for line in range(int(shape[0] / pitch) + 2):
        words = rng.choice(list(LETTERS + " " * 12), 2 * shape[1] // size + 8)
        draw.text((-rng.uniform(0, size), (line - 0.5) * pitch), "".join(words), 255, font)
    return np.asarray(sheet, np.float64) / 255


def _voronoi(
    shape: tuple[int, int], area_px2: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Distances (2, H, W) to the nearest two of random seeds, the number of the nearest, seeds."""
    margin = np.sqrt(area_px2)
    sides = np.asarray(shape) + 2 * margin
    count = max(4, round(float(np.prod(sides)) / area_px2))
    seeds = rng.uniform(0, 1, (count, 2)) * sides - margin
    pixels = np.indices(shape).reshape(2, -1).T
    distance, which = cKDTree(seeds).query(pixels, k=2)
    return distance.T.reshape(2, *shape), which[:, 0].reshape(shape), count


PATTERNS: dict[str, Callable[[tuple[int, int], np.random.Generator], np.ndarray]] = {
    "lines": lines,
    "siemens": siemens,
    "grf": grf,
    "blobs": blobs,
    "dead_leaves": dead_leaves,
    "cells": cells,
    "crystals": crystals,
    "meshes": meshes,
    "letters": letters,
}
