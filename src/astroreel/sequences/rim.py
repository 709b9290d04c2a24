"""The rim of a stamp: where the sky is measured, and the noise's texture, since no target is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.sequences.record import STAMP_SIZE

#: Width of the rim [pixel].
WIDTH = 3

#: Its pixels, (21, 21).
RIM = np.pad(np.zeros((STAMP_SIZE - 2 * WIDTH,) * 2, bool), WIDTH, constant_values=True)


def rim_level(stamps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The median of each stamp's good pixels at the rim, 0 where there is none, and their number.

    Takes stamps (M, 21, 21), bad pixels NaN; returns (M,) and (M,).
    """
    # NaN sorts last, so the median of the good pixels is found by their count.
    rim = np.sort(stamps[:, RIM], axis=1)
    count = np.isfinite(rim).sum(axis=1)
    rows, last = np.arange(len(rim)), np.maximum(count - 1, 0)
    middle = (rim[rows, last // 2] + rim[rows, (last + 1) // 2]) / 2
    return np.where(count > 0, middle, 0.0).astype(np.float64), count
