"""The texture of the noise at a stamp's rim, where no target is: what it must not tell a class from.

Differences of neighbouring pixels, so that a source's smooth wings and the level of the sky cancel out.
Noise that was resampled is weaker and correlated: its differences are smaller at a distance of one pixel,
less so at two. Their mean sizes against the distance are a madogram (Cressie 1993, Statistics for Spatial
Data, 2.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.sequences.prepare import background_noise
from astroreel.sequences.record import STAMP_SIZE, SequenceSet
from astroreel.sequences.rim import RIM

Floats = NDArray[np.float64]

#: What the columns are: the mean size of differences between pixels so far apart along y and x, over what
#: independent noise would have, and the first one's Geary ratio: mean size over root mean square.
LAGS = ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (1, -1))
COLUMNS = (*(f"madogram_{y}_{x}" for y, x in LAGS), "geary")

_CHUNK = 2048


def border_by_epoch(sequences: SequenceSet, epochs: int) -> NDArray[np.float32]:
    """Texture of the rim, on average over the first n frames of each object, (N, epochs, 7), n = 1, 2, ...

    Of all frames where an object has fewer than n. NaN pixels are left out; a column that nothing is known of
    is 0.
    """
    table = np.full((len(sequences), epochs, len(COLUMNS)), np.nan)
    owner, position = sequences.owner, sequences.position
    early = np.flatnonzero(position < epochs)
    noise = background_noise(sequences)
    for start in range(0, len(early), _CHUNK):
        part = early[start : start + _CHUNK]
        table[owner[part], position[part]] = _texture(sequences.stamps[part], noise[part])
    known = np.isfinite(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.cumsum(np.where(known, table, 0.0), axis=1) / np.cumsum(known, axis=1)
    return np.nan_to_num(mean).astype(np.float32)


def _texture(stamps: NDArray[np.float32], noise: Floats) -> Floats:
    pixels = stamps.reshape(len(stamps), -1)
    columns: list[Floats] = []
    for lag in LAGS:
        first, second = _pairs(*lag)
        step = pixels[:, first] - pixels[:, second]
        good = np.isfinite(step)
        step[~good] = 0.0
        count = good.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.abs(step).sum(axis=1, dtype=np.float64) / count
            if not columns:
                square = np.einsum("mp,mp->m", step, step, dtype=np.float64) / count
                geary = size / np.sqrt(square)
            columns.append(size / (noise * 2.0 / np.sqrt(np.pi)))
    return np.stack([*columns, geary], axis=1)


def _pairs(lag_y: int, lag_x: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of the pixels of the rim and of those at a distance, both within the rim."""
    y, x = np.nonzero(RIM)
    to_y, to_x = y + lag_y, x + lag_x
    inside = (to_y < STAMP_SIZE) & (to_x >= 0) & (to_x < STAMP_SIZE)
    inside[inside] = RIM[to_y[inside], to_x[inside]]
    return y[inside] * STAMP_SIZE + x[inside], to_y[inside] * STAMP_SIZE + to_x[inside]
