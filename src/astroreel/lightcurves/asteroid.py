"""Asteroids: a source that crosses one exposure and is gone in the next (thesis Table 3.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_exposures
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.registry import register
from astroreel.lightcurves.rejection import redraw

#: d ln(N) / dm and, by share of the asteroids, the rate of motion [arcsec/h]: those of the 5,417 known
#: asteroids that the Minor Planet Center predicts in the g exposures of HiTS 2015 (as listed by
#: github.com/dirac-institute/kbmod, BSD-2). The slope is that at V = 17 to 20.5, where they are complete:
#: 0.32 dex a magnitude.
_SLOPE = 0.74
_SHARES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
_RATES = (19.9, 27.0, 30.5, 33.2, 36.7, 43.0, 68.9)


@register
class Asteroid(LightCurveModel):
    """A magnitude, a rate and a direction of motion, in one exposure drawn among those that detect it.

    At the slowest it leaves a stamp of 6 arcsec within ten minutes. Its light is that of the whole trail;
    the direction is any, as an image's orientation on the sky is.
    """

    name = "asteroid"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        require_exposures(self.name, mask)
        n = len(times)
        magnitude = np.empty(n)
        epoch = np.empty(n, dtype=np.int64)
        numbers = replace(self.magnitudes, slope=_SLOPE)

        def attempt(objects: NDArray[np.int64]) -> NDArray[np.bool_]:
            magnitude[objects] = numbers.sample(len(objects), rng)
            detects = mask[objects] & (limits[objects] > magnitude[objects, None])
            epoch[objects] = np.argmax(np.where(detects, rng.random(detects.shape), -1.0), axis=1)
            return np.any(detects, axis=1)

        redraw(n, attempt, self.name, "an exposure that detects it")
        magnitudes = np.full(times.shape, np.inf)
        magnitudes[np.arange(n), epoch] = magnitude
        return LightCurveSample.of(
            magnitudes,
            magnitude,
            alert=epoch,
            motion=np.interp(rng.random(n), _SHARES, _RATES),
            motion_angle=rng.uniform(-np.pi, np.pi, n),
        )
