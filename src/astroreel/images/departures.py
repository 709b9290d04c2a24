"""How images depart from what the header of their exposure says of them.

A header's seeing and sky are one number for a whole exposure, and the seeing a rough one; its zero point
is a fit with an error. Stars of the same header therefore differ in width, shape and brightness: by the
place of the star in the focal plane, which stays, by the night and by the exposure. All three are normal,
and they add up.

The figures are in the survey's file. Those of HiTS are fitted to the images and the photometry of stars
that do not vary and to nothing else; how well any class is recognised has no part in them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from astroreel.survey.survey import ImageScatter

_LEAST_AXIS_RATIO = 0.7


@dataclass(frozen=True)
class Departures:
    """Departures of n images, all arrays (n,).

    Attributes
    ----------
    fwhm
        Of the logarithm of the width of a point source.
    e1, e2
        Ellipticity along x and y, and along the diagonals.
    coma_x, coma_y
        How far the wings lie off the core [arcsec].
    twist_1, twist_2
        How much more elliptic the wings are than the core, as ``e1`` and ``e2``.
    wings
        See `PsfLibrary.gaussians`.
    sky
        Of the logarithm of the sky level.
    zero_point
        Of the zero point [mag].
    """

    fwhm: NDArray[np.float64]
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    coma_x: NDArray[np.float64]
    coma_y: NDArray[np.float64]
    twist_1: NDArray[np.float64]
    twist_2: NDArray[np.float64]
    wings: NDArray[np.float64]
    sky: NDArray[np.float64]
    zero_point: NDArray[np.float64]

    @classmethod
    def draw(cls, n: int, scatter: ImageScatter, rng: np.random.Generator) -> Departures:
        """Draw n departures; where the scatter is 0, there are none."""
        return cls(
            fwhm=rng.normal(0.0, scatter.fwhm, n),
            e1=rng.normal(0.0, scatter.ellipticity[0], n),
            e2=rng.normal(0.0, scatter.ellipticity[1], n),
            coma_x=rng.normal(0.0, scatter.coma[0], n),
            coma_y=rng.normal(0.0, scatter.coma[1], n),
            twist_1=rng.normal(0.0, scatter.twist, n),
            twist_2=rng.normal(0.0, scatter.twist, n),
            wings=rng.normal(0.0, scatter.wings, n),
            sky=rng.normal(0.0, scatter.sky, n),
            zero_point=rng.normal(0.0, scatter.zero_point, n),
        )

    def __add__(self, other: Departures) -> Departures:
        names = [column.name for column in fields(Departures)]
        return Departures(*(getattr(self, name) + getattr(other, name) for name in names))

    def select(self, which: NDArray[np.int64]) -> Departures:
        """The departures named by indices."""
        return Departures(*(getattr(self, column.name)[which] for column in fields(Departures)))

    @property
    def axis_ratio(self) -> NDArray[np.float64]:
        """Ratio of the minor to the major axis of a point source, (n,)."""
        return np.maximum(1.0 - np.hypot(self.e1, self.e2), _LEAST_AXIS_RATIO)

    @property
    def angle(self) -> NDArray[np.float64]:
        """Angle of the major axis from x towards y [rad], (n,)."""
        return 0.5 * np.arctan2(self.e2, self.e1)
