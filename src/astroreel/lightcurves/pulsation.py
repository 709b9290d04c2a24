"""Light curves of pulsating stars as Fourier series with OGLE-III's parameters."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveSample
from astroreel.lightcurves.magnitudes import MagnitudeDistribution
from astroreel.lightcurves.ogle import ogle_stars
from astroreel.lightcurves.partition import Split, members

_PHASES = np.linspace(0.0, 1.0, 100, endpoint=False)


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
    """cos(x) + R21 cos(2x + phi21) + R31 cos(3x + phi31), x = 2 pi phase; (n, T), in magnitudes.

    ``phase`` is (n, T), or (T,) for all stars alike.
    """
    angle = 2.0 * np.pi * phase
    harmonic = {name: stars[name][:, None] for name in ("r21", "phi21", "r31", "phi31")}
    return (
        np.cos(angle)
        + harmonic["r21"] * np.cos(2.0 * angle + harmonic["phi21"])
        + harmonic["r31"] * np.cos(3.0 * angle + harmonic["phi31"])
    )


@cache
def _stars(kind: str, subtypes: tuple[str, ...], split: Split) -> NDArray[np.void]:
    stars = ogle_stars(kind, subtypes)
    return stars[members(stars["name"], split)]
