"""The first detection: when an object has risen above its own quiet level (thesis 3.2.1 and 4.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.photometry.curves import LightCurves

Floats = NDArray[np.float64]

#: Significance of a detection (thesis 4.1).
N_SIGMA = 5.0

#: Error of a flux that is not noise, over the quiet level: a profile is never quite the true one.
SYSTEMATIC = 0.03

_FAINTEST = 0.25
_QUIET = 3.0
_ROUNDS = 3


def first_detection(curves: LightCurves, seeing: Floats | None = None) -> NDArray[np.int64]:
    """Index within the object of the first 5-sigma rise over its quiet level, (N,); -1 for none.

    The thesis takes the first epoch whose flux is five times its error. On stamps that still hold
    their host galaxy that is the first epoch of every bright host, so here the object's own quiet
    level is subtracted: the mean of the epochs within 3 sigma of it, found from the faintest quarter
    on. That needs no quiet time *before* the rise: what is bright at its first epoch and fades later
    is detected at once. It needs the whole curve, so it serves to cut labelled sequences, not alerts.
    The level's own error counts, and so does :data:`SYSTEMATIC`.

    Parameters
    ----------
    curves
        Epochs that could not be measured are passed over.
    seeing
        (M,) seeing of each epoch, any unit. The light of a host beside the source, measured as if it
        were a point, follows the seeing; where it is given, that part is subtracted first. Of HiTS's
        supernovae that the survey's difference fluxes detect too, 46 of 54 are then detected within two
        epochs of them, and 39 of 56 without.
    """
    if not len(curves.mjd):
        return np.full(len(curves), -1)
    flux = curves.padded(curves.flux)
    variance = curves.padded(curves.error) ** 2
    flux[~np.isfinite(variance)] = np.nan
    if seeing is not None:
        flux = flux - _light_with_seeing(flux, variance, curves.padded(seeing))
    level, level_variance, variance = _quiet_level(flux, variance)
    risen = flux - level[:, None] > N_SIGMA * np.sqrt(variance + level_variance[:, None])
    return np.where(risen.any(axis=1), risen.argmax(axis=1), -1)


def _light_with_seeing(flux: Floats, variance: Floats, seeing: Floats) -> Floats:
    """The part of the flux that is linear in the seeing, (N, T), 0 at the median seeing.

    Its slope is the weighted median of the slopes between neighbouring epochs, over which a transient
    changes little or in one direction while the seeing goes up and down.
    """
    steps = np.diff(seeing, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.diff(flux, axis=1) / steps
        weights = np.abs(steps) / np.sqrt(variance[:, 1:] + variance[:, :-1])
    slope = _weighted_median(slopes, np.where(np.isfinite(slopes), weights, 0.0))
    middle = _weighted_median(seeing, np.isfinite(flux).astype(np.float64))
    return slope[:, None] * (seeing - middle[:, None])


def _quiet_level(flux: Floats, variance: Floats) -> tuple[Floats, Floats, Floats]:
    """Level (N,), its variance (N,) and the epochs' variances with the systematic part (N, T)."""
    measured = np.isfinite(flux)
    rank = np.argsort(np.argsort(flux, axis=1), axis=1)  # NaN last
    faintest = measured & (rank < np.maximum(_FAINTEST * measured.sum(axis=1), 1)[:, None])
    level, level_variance = _weighted_mean(flux, 1.0 / variance, faintest)
    variance = variance + (SYSTEMATIC * np.maximum(level, 0.0))[:, None] ** 2
    for _ in range(_ROUNDS):
        quiet = measured & (flux < level[:, None] + _QUIET * np.sqrt(variance))
        level, level_variance = _weighted_mean(flux, 1.0 / variance, quiet)
    return level, level_variance, variance


def _weighted_mean(values: Floats, weights: Floats, which: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean of some values of each row, (N,), and its variance where weights are inverse variances."""
    total = np.sum(weights, axis=1, where=which)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sum(values * weights, axis=1, where=which) / total, 1.0 / total


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """Weighted median of each row, (N,); values without weight do not count, and 0 where all are such."""
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=1)
    cumulative = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    if not cumulative.shape[1]:
        return np.zeros(len(values))
    middle = (cumulative >= cumulative[:, -1:] / 2).argmax(axis=1)
    median = np.take_along_axis(values, np.take_along_axis(order, middle[:, None], axis=1), axis=1)[:, 0]
    return np.where(cumulative[:, -1] > 0, median, 0.0)
