"""Asteroids: a bright source in a single exposure (thesis Table 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_exposures
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.registry import register
from astroreel.lightcurves.rejection import redraw


@register
class Asteroid(LightCurveModel):
    """A magnitude from the distribution, in one exposure drawn among those that detect it."""

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

        def attempt(objects: NDArray[np.int64]) -> NDArray[np.bool_]:
            magnitude[objects] = self.magnitudes.sample(len(objects), rng)
            detects = mask[objects] & (limits[objects] > magnitude[objects, None])
            epoch[objects] = np.argmax(np.where(detects, rng.random(detects.shape), -1.0), axis=1)
            return np.any(detects, axis=1)

        redraw(n, attempt, self.name, "an exposure that detects it")
        magnitudes = np.full(times.shape, np.inf)
        magnitudes[np.arange(n), epoch] = magnitude
        return LightCurveSample.of(magnitudes, magnitude, alert=epoch)
