"""Point spread functions: named shapes with wings, no two sets of which share one.

The thesis (section 3.1.3) averages stars of the survey and picks, for every exposure, an average of
the right width. Here a shape is drawn from a family and is stretched to the exposure's width.

The width of a point spread function is the FWHM of the round Gaussian without background that fits
its pixels best in the least-squares sense (thesis section 2.1.4). For a shape with wings that is a
little wider than where the profile falls to half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_genlaguerre

from astroreel.images.gaussians import FWHM_OF_SIGMA, PIXEL_VARIANCE, Gaussians
from astroreel.lightcurves.partition import Split

Family = Literal["moffat", "double_gaussian"]
Radial = tuple[NDArray[np.float64], NDArray[np.float64]]

#: Shapes that each set of each family has.
SHAPES = 256

#: Least variance that a shape is squeezed to [pixel^2], for exposures sharper than a pixel.
_LEAST_VARIANCE = 0.05

_MOFFAT_COMPONENTS = 5

#: Of the fit of a Gaussian; the error shrinks to less than a third in each.
_FIT_ROUNDS = 12


class PsfLibrary:
    """The shapes of one family for one set.

    Shapes depend on the family and the set alone, so that a name means the same in every simulation.

    Parameters
    ----------
    family
        "moffat" has the power-law wings of the bright stars of HiTS 2015; "double_gaussian" has a broad
        second component instead, and stands for another camera.
    split
        The set that the shapes are for.

    Attributes
    ----------
    names
        (256,) names of the shapes.
    flux, variance
        (256, K) Gaussian components of each shape: fluxes that sum to 1, and variances in units of
        that of the Gaussian that fits the shape best.
    """

    def __init__(self, family: Family, split: Split) -> None:
        seed = [get_args(Family).index(family), get_args(Split).index(split)]
        rng = np.random.default_rng(seed)
        self.flux, variance = _FAMILIES[family](rng)
        self.variance = variance / fitted_variance(self.flux, variance)[:, None]
        self.names = np.array([f"{family}-{split}-{index:03d}" for index in range(SHAPES)])

    def __len__(self) -> int:
        return len(self.names)

    def gaussians(
        self,
        shape: NDArray[np.int64],
        fwhm: NDArray[np.float64],
        angle: NDArray[np.float64],
        axis_ratio: ArrayLike = 1.0,
        wings: ArrayLike = 0.0,
    ) -> Gaussians:
        """The point spread functions of n exposures, each of unit flux over the whole plane.

        Parameters
        ----------
        shape
            (n,) indices of shapes.
        fwhm
            (n,) width [pixel], as defined above.
        angle
            (n,) angle of the major axis from x towards y [rad].
        axis_ratio
            (n,) ratio of the minor to the major axis.
        wings
            (n,) how much stronger the wings are than the shape's: every component's flux is weighted with
            this power of its variance. It is what a Moffat profile's beta is smaller by, for beta is the
            power in the mixture of which `moffat` takes five.
        """
        width = np.maximum((fwhm / FWHM_OF_SIGMA) ** 2 - PIXEL_VARIANCE, _LEAST_VARIANCE)
        axis_ratio = np.broadcast_to(axis_ratio, width.shape)
        variance = self.variance[shape]
        flux = self.flux[shape] * variance ** np.broadcast_to(wings, width.shape)[:, None]
        flux /= flux.sum(axis=1, keepdims=True)
        major = variance * (width / fitted_variance(flux, variance) / axis_ratio)[:, None]
        return Gaussians.elliptical(flux, major, axis_ratio, angle)

    def render(
        self,
        shape: NDArray[np.int64],
        fwhm: NDArray[np.float64],
        x0: NDArray[np.float64],
        y0: NDArray[np.float64],
        angle: NDArray[np.float64],
        axis_ratio: ArrayLike = 1.0,
        wings: ArrayLike = 0.0,
    ) -> NDArray[np.float32]:
        """A point source of unit flux in every pixel of n stamps, (n, 21, 21).

        The part of the wings that falls outside the stamp is lost. See `gaussians` and
        `Gaussians.render` for the parameters.
        """
        return self.gaussians(shape, fwhm, angle, axis_ratio, wings).render(x0, y0)


def moffat(beta: NDArray[np.float64]) -> Radial:
    """Flux and variance, (n, 5) each, of Moffat profiles (1 + r^2)^-beta as sums of Gaussians.

    (1 + r^2)^-beta is the integral of s^(beta - 1) exp(-s) exp(-s r^2) ds over Gamma(beta), so that
    the nodes of a Gauss-Laguerre quadrature are Gaussians of variance 1 / 2s. Five of them meet the
    profile to 0.4 % of its peak from beta 2.6 upwards; the wings end some five FWHM out.
    """
    nodes, weights = (np.array(column) for column in zip(*map(_moffat_quadrature, beta), strict=True))
    return weights / weights.sum(axis=1, keepdims=True), 0.5 / nodes


def double_gaussian(share: NDArray[np.float64], ratio: NDArray[np.float64]) -> Radial:
    """Flux and variance, (n, 2) each, of a core and a component ``ratio`` times as broad.

    ``share`` of the flux is in the broad one.
    """
    return np.stack([1.0 - share, share], axis=1), np.stack([np.ones_like(ratio), ratio**2], axis=1)


def fitted_variance(flux: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the Gaussian that fits a round mixture best in the least-squares sense, (n,).

    With components of flux w and variance v, the overlap of the mixture with a Gaussian of variance s
    and unit norm goes as sqrt(s) sum(w / (v + s)); the loop finds where its derivative vanishes.
    """
    best = np.sum(flux * variance, axis=1)
    for _ in range(_FIT_ROUNDS):
        weight = flux / (variance + best[:, None]) ** 2
        best = np.sum(weight * variance, axis=1) / np.sum(weight, axis=1)
    return best


def _moffat_quadrature(beta: float) -> Radial:
    nodes, weights = roots_genlaguerre(_MOFFAT_COMPONENTS, beta - 2.0)
    return nodes, weights


def _draw_moffat(rng: np.random.Generator) -> Radial:
    """The median beta over the exposures of a star of HiTS 2015 is 4.0, give or take 8 % between stars."""
    return moffat(rng.lognormal(np.log(4.0), 0.08, SHAPES))


def _draw_double_gaussian(rng: np.random.Generator) -> Radial:
    return double_gaussian(rng.uniform(0.1, 0.3, SHAPES), rng.uniform(1.8, 2.6, SHAPES))


_FAMILIES: dict[Family, Callable[[np.random.Generator], Radial]] = {
    "moffat": _draw_moffat,
    "double_gaussian": _draw_double_gaussian,
}
