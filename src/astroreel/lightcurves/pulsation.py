"""Light curves of pulsating stars as Fourier series with OGLE-III's parameters.

The catalogue gives three harmonics, which make the rise of a fundamental-mode RR Lyrae star too slow: they
miss the g templates of Sesar et al. 2010 (ApJ 708, 717) by 6 % of the amplitude (rms). Those templates go on
as their second and third harmonics begin, the ratio of amplitudes falling to 0.8 of itself and the phase
growing by as much again with each; continued so, the series misses them by 1.5 %.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveSample
from astroreel.lightcurves.magnitudes import MagnitudeDistribution
from astroreel.lightcurves.ogle import ogle_stars
from astroreel.lightcurves.partition import Split, members

_PHASES = np.linspace(0.0, 1.0, 200, endpoint=False)
_HARMONICS = 8
_FALL = 0.8
_GREATEST_RATIO = 0.75  # of the templates'


def sample_pulsators(
    kind: str,
    subtypes: tuple[str, ...],
    amplitude_factor: float,
    magnitudes: MagnitudeDistribution,
    times: NDArray[np.float64],
    split: Split,
    rng: np.random.Generator,
) -> LightCurveSample:
    """Draw stars of the catalogue, each at a random phase and mean magnitude.

    Parameters
    ----------
    kind, subtypes
        Which stars, see :func:`~astroreel.lightcurves.ogle.ogle_stars`.
    amplitude_factor
        Amplitude in the wanted band over that in I.
    magnitudes
        Distribution of the mean magnitudes.
    times
        (n, T) [d].
    split, rng
        See :meth:`~astroreel.lightcurves.base.LightCurveModel.sample`.
    """
    n = len(times)
    stars = rng.choice(_stars(kind, subtypes, split), size=n)
    mean = magnitudes.sample(n, rng)
    phase = times / stars["period"][:, None] + rng.random((n, 1))
    scale = amplitude_factor * stars["amplitude"] / np.ptp(fourier_series(stars, _PHASES), axis=1)
    return LightCurveSample.of(
        mean[:, None] + scale[:, None] * fourier_series(stars, phase),
        magnitude=mean,
        template=stars["name"],
        period=stars["period"],
    )


def fourier_series(stars: NDArray[np.void], phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over k of R_k1 cos(k x + phi_k1), x = 2 pi phase and R_11 = 1; (n, T), in magnitudes.

    ``phase`` is (n, T), or (T,) for all stars alike.
    """
    angle = 2.0 * np.pi * phase
    amplitudes, phases = _harmonics(stars)
    series = np.zeros(np.broadcast_shapes(angle.shape, (len(stars), 1)))
    for order in range(_HARMONICS):
        series += amplitudes[:, order, None] * np.cos((order + 1) * angle + phases[:, order, None])
    return series


def _harmonics(stars: NDArray[np.void]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitudes over that of the first and phases [rad] of all harmonics, each (n, harmonics)."""
    ratio = np.divide(stars["r31"], stars["r21"], out=np.zeros(len(stars)), where=stars["r21"] > 0.0)
    further = np.arange(1, _HARMONICS - 2)
    fall = np.minimum(_FALL * ratio, _GREATEST_RATIO)[:, None] ** further
    turn = (stars["phi31"] - stars["phi21"])[:, None] * further
    amplitudes = np.column_stack(
        [np.ones(len(stars)), stars["r21"], stars["r31"], stars["r31"][:, None] * fall]
    )
    phases = np.column_stack(
        [np.zeros(len(stars)), stars["phi21"], stars["phi31"], stars["phi31"][:, None] + turn]
    )
    return amplitudes, phases


@cache
def _stars(kind: str, subtypes: tuple[str, ...], split: Split) -> NDArray[np.void]:
    stars = ogle_stars(kind, subtypes)
    return stars[members(stars["name"], split)]
