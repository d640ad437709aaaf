"""A probe that varies from frame to frame: eigenprobes and their weights. NumPy only.

The first mode of frame j is P_0 + Σ_n a_jn V_n with real weights of mean 0 and mean square 1. They
begin as the principal components of the steps that the frames ask for one by one, once there is an
image, and are brought back to this form every few passes: what a weight's mean says belongs to
P_0, and what an eigenprobe shares with P_0 is the light of a frame or its phase, not the shape of
the probe.
"""

from __future__ import annotations

import numpy as np

SEEN = 256
"""Frames whose steps are looked at for principal components; more say little that is new."""


def principal(steps: np.ndarray, probe: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """(E, N, N) eigenprobes of light Σ|V_n|² a frame, and the share of the first component.

    Args:
        steps: (B, N, N) complex, what each frame would change of the first mode.
        probe: (N, N) the first mode.
        count: E, fewer where there are not so many frames.
    """
    away = steps - steps.mean(axis=0)
    away = away - along(away, probe)
    flat = away.reshape(len(away), -1)
    gram = (flat @ flat.conj().T).real  # real: a weight is real, an eigenprobe is not
    values, vectors = np.linalg.eigh(gram)
    best = np.argsort(values)[::-1][: min(count, max(len(steps) - 1, 1))]
    found = np.einsum("mn,mij->nij", vectors[:, best], away) / np.sqrt(len(steps))
    share = float(values[best[0]] / max(values.sum(), 1e-30))
    return found.astype(np.complex64), share


def along(fields: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """What each field (B, N, N) has in common with `probe` (N, N), as a complex multiple of it."""
    shares = np.tensordot(fields, probe.conj(), axes=([1, 2], [0, 1]))
    return (shares / max(float(np.sum(np.abs(probe) ** 2)), 1e-30))[:, None, None] * probe


def tidy(
    probe: np.ndarray, eigenprobes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same variation with weights of mean 0 and mean square 1, strongest first.

    Args:
        probe: (N, N) first mode. eigenprobes: (E, N, N). weights: (M, E).

    Returns:
        probe, eigenprobes (orthogonal to it and, as real vectors, to one another), weights.
    """
    probe = probe + np.tensordot(weights.mean(axis=0), eigenprobes, axes=1)
    weights = weights - weights.mean(axis=0)
    eigenprobes = eigenprobes - along(eigenprobes, probe)
    frames, triangle = np.linalg.qr(weights / np.sqrt(len(weights)))
    mixed = np.tensordot(triangle, eigenprobes, axes=1)
    flat = mixed.reshape(len(mixed), -1)
    values, vectors = np.linalg.eigh((flat @ flat.conj().T).real)
    order = np.argsort(values)[::-1]
    vectors = vectors[:, order]
    return (
        probe.astype(np.complex64),
        np.tensordot(vectors.T, mixed, axes=1).astype(np.complex64),
        (frames @ vectors * np.sqrt(len(weights))).astype(np.float32),
    )
