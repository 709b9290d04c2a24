"""RR Lyrae stars: OGLE-III's light curves at a random phase and mean magnitude (thesis Table 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_band
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.pulsation import sample_pulsators
from astroreel.lightcurves.registry import register

#: Amplitude over that in I: the medians over that in i of the 483 stars of Sesar et al. 2010 (ApJ 708, 717),
#: table 2; y, which they do not have, is taken as z.
_AMPLITUDE_FACTOR = {"u": 1.65, "g": 1.75, "r": 1.26, "i": 1.0, "z": 0.89, "y": 0.89}

#: The halo ends: the cutoff is at 21.5 where the other classes' is at 22.8 (thesis section 3.1.2).
_CUT_BRIGHTER = 1.3


@register
class RRLyrae(LightCurveModel):
    """Fundamental-mode and first-overtone RR Lyrae stars."""

    name = "rr_lyrae"

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
        magnitudes = self.magnitudes.cut_brighter(_CUT_BRIGHTER)
        factor = _AMPLITUDE_FACTOR[band]
        return sample_pulsators("RRLyr", ("RRab", "RRc"), factor, magnitudes, times, split, rng)
