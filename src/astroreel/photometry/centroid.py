"""Centroids: where the source of a stamp is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.sequences.record import STAMP_SIZE

#: Farthest from the centre of a stamp that its source is looked for [pixel].
REACH = 3.0

_ROUNDS = 8
_GRID = np.arange(STAMP_SIZE) - STAMP_SIZE // 2


def centroids(
    stamps: NDArray[np.float32], sigma: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean position of the light under a round Gaussian that moves along, x and y [pixel], (M,) each.

    The windowed centroids of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393): close to the best that noise
    allows for a star, and hardly moved by what lies beside it.

    Parameters
    ----------
    stamps
        (M, 21, 21) without background; bad pixels NaN.
    sigma
        (M,) standard deviation of the Gaussian, best that of the source [pixel].
    """
    light = np.nan_to_num(stamps)
    x, y = np.zeros(len(light)), np.zeros(len(light))
    for _ in range(_ROUNDS):
        off_x, off_y = _GRID - x[:, None], _GRID - y[:, None]
        window_x, window_y = (np.exp(-0.5 * (off / sigma[:, None]) ** 2) for off in (off_x, off_y))
        total = np.einsum("mij,mi,mj->m", light, window_y, window_x)
        total = np.where(total > 0, total, np.inf)
        step_x = np.einsum("mij,mi,mj->m", light, window_y, window_x * off_x) / total
        step_y = np.einsum("mij,mi,mj->m", light, window_y * off_y, window_x) / total
        # Light and window of equal width have a product of half their variance: half the way.
        x = np.clip(x + 2.0 * step_x, -REACH, REACH)
        y = np.clip(y + 2.0 * step_y, -REACH, REACH)
    return x, y
