"""Non-variable stars: one brightness for ever (thesis Table 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.registry import register


@register
class NonVariable(LightCurveModel):
    """Constant magnitudes drawn from the distribution of magnitudes."""

    name = "non_variable"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        magnitude = self.magnitudes.sample(len(times), rng)
        return LightCurveSample.of(np.repeat(magnitude[:, None], times.shape[1], axis=1), magnitude)
