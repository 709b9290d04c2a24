"""Mixtures of elliptical Gaussians: what every source is drawn with.

A point spread function and a galaxy are both sums of Gaussians, so that a galaxy seen through a
point spread function is one too: fluxes multiply and covariances add (Hogg & Lang 2013, PASP 125,
719). Nothing is oversampled and nothing is transformed, and a batch of stamps is a few array
operations for each component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Side of a stamp [pixel]; its central pixel has the coordinates (0, 0).
STAMP_SIZE = 21

#: Variance of a pixel's square response [pixel^2]. Adding it to a Gaussian's variance stands for the
#: integral over the pixel, to 1e-4 of the peak for the widths of a well sampled survey.
PIXEL_VARIANCE = 1.0 / 12.0

#: Full width at half maximum of a Gaussian of unit standard deviation.
FWHM_OF_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))

_GRID = np.arange(STAMP_SIZE) - STAMP_SIZE // 2

#: Exponents below this are raised to it: float32 numbers so small that they are kept in a slow form.
_LEAST_EXPONENT = np.float32(-80.0)


@dataclass(frozen=True)
class Gaussians:
    """n mixtures of K concentric Gaussians each, all arrays (n, K).

    Attributes
    ----------
    flux
        Flux of each component over the whole plane, above 0.
    xx, xy, yy
        Covariance of each component [pixel^2], the pixel's own response not included.
    """

    flux: NDArray[np.float64]
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]

    @classmethod
    def elliptical(
        cls, flux: ArrayLike, variance: ArrayLike, axis_ratio: ArrayLike, angle: ArrayLike
    ) -> Gaussians:
        """Components that share one shape.

        Parameters
        ----------
        flux, variance
            (n, K) flux, and variance along the major axis [pixel^2].
        axis_ratio
            (n,) ratio of the minor to the major axis, in (0, 1].
        angle
            (n,) angle of the major axis from x towards y [rad].
        """
        weight, major = np.broadcast_arrays(np.asarray(flux, float), np.asarray(variance, float))
        squeeze = np.square(axis_ratio)[:, None]
        cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return cls(
            flux=weight,
            xx=major * (cosine**2 + squeeze * sine**2),
            xy=major * (1.0 - squeeze) * sine * cosine,
            yy=major * (sine**2 + squeeze * cosine**2),
        )

    def __len__(self) -> int:
        return len(self.flux)

    def select(self, which: NDArray[np.int64] | slice) -> Gaussians:
        """The mixtures named by indices or a slice."""
        return Gaussians(self.flux[which], self.xx[which], self.xy[which], self.yy[which])

    def join(self, other: Gaussians) -> Gaussians:
        """The sum of two mixtures about the same centre, (n, K + L)."""
        pairs = zip(self._arrays, other._arrays, strict=True)
        return Gaussians(*(np.concatenate(pair, axis=1) for pair in pairs))

    def convolve(self, other: Gaussians) -> Gaussians:
        """Every component of one through every component of the other, (n, K L)."""
        shape = (len(self), self.flux.shape[1] * other.flux.shape[1])
        flux = self.flux[:, :, None] * other.flux[:, None, :]
        added = (
            mine[:, :, None] + theirs[:, None, :]
            for mine, theirs in zip(self._arrays[1:], other._arrays[1:], strict=True)
        )
        return Gaussians(*(array.reshape(shape) for array in (flux, *added)))

    def render(self, x0: NDArray[np.float64], y0: NDArray[np.float64]) -> NDArray[np.float32]:
        """The flux in every pixel, (n, 21, 21), indexed object, y, x.

        Parameters
        ----------
        x0, y0
            (n,) centre [pixel] from the centre of the central pixel.
        """
        xx, yy, xy = self.xx + PIXEL_VARIANCE, self.yy + PIXEL_VARIANCE, self.xy
        determinant = xx * yy - xy**2
        # Objects come last, so that numpy's inner loops are long however the rest is broadcast.
        in_x = _float32(-0.5 * yy / determinant).T
        in_y = _float32(-0.5 * xx / determinant).T
        cross = _float32(xy / determinant).T
        peak = _float32(np.log(self.flux / (2.0 * np.pi * np.sqrt(determinant)))).T
        x = _float32(_GRID[:, None] - x0)
        y = _float32(_GRID[:, None] - y0)

        image = np.zeros((STAMP_SIZE, STAMP_SIZE, len(self)), np.float32)
        term = np.empty_like(image)
        for k in range(self.flux.shape[1]):
            np.multiply((cross[k] * y)[:, None], x[None], out=term)
            term += (in_x[k] * x**2)[None]
            term += (in_y[k] * y**2 + peak[k])[:, None]
            np.maximum(term, _LEAST_EXPONENT, out=term)
            image += np.exp(term, out=term)
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    @property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        return self.flux, self.xx, self.xy, self.yy


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
