"""How many objects there are of each apparent magnitude (thesis section 3.1.2, Figure 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

_BEYOND_CUTOFF = 3.0  # mag; past this fewer than one object in 40,000 is left of the exponential
_GRID = 4096


def cutoff_factor(magnitude: ArrayLike, cutoff: float) -> NDArray[np.float64]:
    """The share kept of the objects at a magnitude, (1 - erf(m - cutoff)) / 2; half at the cutoff.

    Thesis section 3.1.2, with the bracket that its text leaves out.
    """
    return 0.5 * (1.0 - erf(np.asarray(magnitude, dtype=float) - cutoff))


@dataclass(frozen=True)
class MagnitudeDistribution:
    """An exponential rise towards faint magnitudes times :func:`cutoff_factor`.

    Attributes
    ----------
    bright
        No object is brighter [mag]: the least saturation level of HiTS under sharp seeing.
    cutoff
        Where the numbers are cut to half [mag]; thesis: 22.8, RR Lyrae 21.5.
    slope
        d ln(N) / dm of the exponential [1/mag]. The thesis fits it to the stars of HiTS and does not
        give it; the default doubles the numbers every two magnitudes, as counts of stars far from the
        Milky Way's plane do (Bahcall & Soneira 1980, ApJS 44, 73).
    """

    bright: float = 16.0
    cutoff: float = 22.8
    slope: float = 0.35

    @property
    def faint(self) -> float:
        """No object is fainter [mag]."""
        return self.cutoff + _BEYOND_CUTOFF

    def density(self, magnitude: ArrayLike) -> NDArray[np.float64]:
        """Probability density [1/mag], 0 outside the bounds."""
        grid = np.linspace(self.bright, self.faint, _GRID)
        magnitude = np.asarray(magnitude, dtype=float)
        inside = (magnitude >= self.bright) & (magnitude <= self.faint)
        return np.where(inside, self._shape(magnitude), 0.0) / np.trapezoid(self._shape(grid), grid)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw ``n`` magnitudes, (n,), by inverting the cumulative distribution on a fine grid."""
        grid = np.linspace(self.bright, self.faint, _GRID)
        shape = self._shape(grid)
        cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (shape[1:] + shape[:-1]))])
        return np.interp(rng.random(n) * cumulative[-1], cumulative, grid)

    def cut_brighter(self, by: float) -> MagnitudeDistribution:
        """The same with a cutoff brighter by so many magnitudes."""
        return replace(self, cutoff=self.cutoff - by)

    def _shape(self, magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(self.slope * (magnitude - self.cutoff)) * cutoff_factor(magnitude, self.cutoff)
