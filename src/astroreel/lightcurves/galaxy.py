"""Galaxies: no point source at all; the light is the host's (thesis section 3.1.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.registry import register

#: Counts of galaxies rise by 0.4 dex a magnitude at g = 17 to 22 (Yasuda et al. 2001, AJ 122, 1104).
_SLOPE = 0.4 * np.log(10.0)


@register
class Galaxy(LightCurveModel):
    """A magnitude for the host to take, drawn from the counts of galaxies; no light of its own."""

    name = "galaxy"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        magnitude = replace(self.magnitudes, slope=_SLOPE).sample(len(times), rng)
        return LightCurveSample.of(np.full(times.shape, np.inf), magnitude)
