"""Classical Cepheids: OGLE-III's light curves at a random phase and mean magnitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_band
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.pulsation import sample_pulsators
from astroreel.lightcurves.registry import register

#: Amplitude over that in I, which goes as wavelength^-1.35: I over V is 0.6 (Tanvir 1997), B over V is 1.5
#: (Freedman 1988, ApJ 326, 691), and g lies between B and V.
_AMPLITUDE_FACTOR = {"u": 2.9, "g": 2.0, "r": 1.35, "i": 1.0, "z": 0.8, "y": 0.75}


@register
class Cepheid(LightCurveModel):
    """Fundamental-mode and first-overtone Cepheids."""

    name = "cepheid"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        require_band(self.name, band, _AMPLITUDE_FACTOR)
        factor = _AMPLITUDE_FACTOR[band]
        return sample_pulsators("Cep", ("F", "1"), factor, self.magnitudes, times, split, rng)
