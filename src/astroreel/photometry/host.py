"""The host: light beside the point source that is wider than one.

In every frame two components are fitted at the centre, a point source and a blurred Gaussian; what the
second takes is the host's. The idea is that of SExtractor's SPREAD_MODEL (Desai et al. 2012, ApJ 757, 83).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.photometry.exposures import Exposures, product
from astroreel.photometry.optimal import gaussian_profile
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import STAMP_SIZE, SequenceSet

Floats = NDArray[np.float64]

#: Mean flux of the host [ADU at the reference], its ratio to its error and to the point source's, and how far
#: from the centre the light lies [pixel].
COLUMNS = ("Host_flux", "Host_significance", "Host_ratio", "Host_offset")

#: Standard deviation of the host before the blur [arcsec]: of most galaxies a survey of this depth sees.
SIGMA = 0.68

_FAINTEST = 100.0
_OBJECTS = 256


def host_by_epoch(sequences: SequenceSet, preparation: Preparation, epochs: int) -> NDArray[np.float32]:
    """What is known of the host after n frames, n = 1 .. ``epochs``, (N, epochs, 4).

    That of the whole sequence where it is shorter than n; 0 before the first usable frame.
    """
    table = np.zeros((len(sequences), epochs, len(COLUMNS)), np.float32)
    for start in range(0, len(sequences), _OBJECTS):
        part = sequences.select(np.arange(start, min(start + _OBJECTS, len(sequences)))).window(0, epochs)
        frames = _moments(part, preparation)
        moments = np.zeros((len(part), epochs, frames.shape[1]))
        moments[part.owner, part.position] = frames
        table[start : start + len(part)] = _summary(np.cumsum(moments, axis=1))
    return table


def _moments(sequences: SequenceSet, preparation: Preparation) -> Floats:
    """Sums over frames that the columns are made of: weighted fluxes, weights and moments, (M, 6)."""
    exposures = Exposures.of(sequences, preparation)
    blur = SIGMA / sequences.objects["pixscale"][sequences.owner]
    point = gaussian_profile(exposures.sigma)
    wide = gaussian_profile(np.hypot(exposures.sigma, blur))
    pp, pw, ww = product(point, point), product(point, wide), product(wide, wide)
    by_point, by_wide = product(point, exposures.light), product(wide, exposures.light)
    determinant = pp * ww - pw**2
    host = (pp * by_wide - pw * by_point) / determinant * exposures.gamma
    source = (ww * by_point - pw * by_wide) / determinant * exposures.gamma
    weight = determinant / (exposures.background * pp * exposures.gamma**2)
    grid = np.arange(STAMP_SIZE) - STAMP_SIZE // 2
    x, y = (
        np.einsum(rule, exposures.light, wide, grid) * exposures.gamma
        for rule in ("mij,mij,j->m", "mij,mij,i->m")
    )
    sums = [host * weight, source * weight, weight, x, y, by_wide * exposures.gamma]
    return np.stack(sums, axis=1) * exposures.usable[:, None]


def _summary(sums: Floats) -> Floats:
    host, source, weight, x, y, light = np.moveaxis(sums, -1, 0)
    known = np.where(weight > 0, weight, 1.0)
    flux = host / known
    return np.stack(
        [
            flux,
            host / np.sqrt(known),
            flux / np.maximum(np.abs(source / known), _FAINTEST),
            np.hypot(x, y) / np.maximum(light, _FAINTEST),
        ],
        axis=-1,
    )
