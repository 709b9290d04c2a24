"""How long a light curve remembers itself, by number of epochs and by days.

All functions take N light curves of T epochs each: ``time`` [day] and ``flux`` (N, T), the flux with
its mean removed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Width [day] and number of the lags of the slotted autocorrelation (feets's defaults).
SLOT = 1.0
SLOTS = 100


def autocorrelation_length(flux: Floats) -> NDArray[np.int64]:
    """First lag, in epochs, at which the autocorrelation is below 1/e, (N,)."""
    length = np.full(len(flux), flux.shape[1])
    limit = np.exp(-1.0) * (flux**2).sum(axis=1)
    for lag in range(flux.shape[1] - 1, 0, -1):
        below = (flux[:, lag:] * flux[:, :-lag]).sum(axis=1) < limit
        length[below] = lag
    return length


def slotted_autocorrelation(time: Floats, flux: Floats) -> Floats:
    """Mean product of pairs of epochs by lag in days, over that of lag 0 (Huijse et al. 2012).

    Returns (N, 100); NaN where no pair has that lag. Later lags are left out.
    """
    first, second = np.triu_indices(flux.shape[1])
    slot = np.floor((time[:, second] - time[:, first]) / SLOT + 0.5).astype(np.int64)
    index = (np.arange(len(flux))[:, None] * SLOTS + slot)[slot < SLOTS]
    product = (flux[:, first] * flux[:, second])[slot < SLOTS]
    size = len(flux) * SLOTS
    pairs = np.bincount(index, minlength=size).reshape(-1, SLOTS)
    total = np.bincount(index, product, minlength=size).reshape(-1, SLOTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / pairs
        return mean / mean[:, :1]
