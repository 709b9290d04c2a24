"""Point spread functions: named shapes with wings, no two sets of which share one.

The thesis (section 3.1.3) averages stars of the survey and picks, for every exposure, an average of
the right width. Here a shape is drawn from a family and is stretched to the exposure's width.

The width of a point spread function is the FWHM of the round Gaussian without background that fits
its pixels best in the least-squares sense (thesis section 2.1.4). For a shape with wings that is a
little wider than where the profile falls to half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from astroreel.images.gaussians import FWHM_OF_SIGMA, PIXEL_VARIANCE, Columns, Gaussians, total
from astroreel.images.profiles import Family, Radial, double_gaussian, moffat
from astroreel.lightcurves.partition import Split

#: Shapes that each set of each family has.
SHAPES = 256

#: Least variance that a shape is squeezed to [pixel^2], for exposures sharper than a pixel.
_LEAST_VARIANCE = 0.05

#: Variances, over that of the whole, from which on components are shifted less, and are as round as the core.
_SHIFTED, _TWISTED = 3.0, 1.3

#: Of the fit of a Gaussian; the error shrinks to less than a third in each.
_FIT_ROUNDS = 12


@dataclass(frozen=True)
class Aberrations:
    """How the optics change n point spread functions, all tensors (n,).

    The centre and the ellipticity of a component change with its width: a shifted one has a coma, and one
    that is shifted and elliptic a trefoil too. The core and the far wings, which are the atmosphere's, stay
    about where they are.

    Attributes
    ----------
    coma_x, coma_y
        How far the inner wings lie off the core [pixel].
    twist_1, twist_2
        How much more elliptic they are than the core, along x and y and along the diagonals.
    """

    coma_x: Tensor
    coma_y: Tensor
    twist_1: Tensor
    twist_2: Tensor

    def applied(
        self, flux: Tensor, variance: Tensor, width: Tensor, axis_ratio: Tensor, angle: Tensor
    ) -> Gaussians:
        """Components (K, n) of a variance in units of the mixture's ``width`` (n,), aberrated."""
        shift, twist = ((variance - 1.0) * torch.exp(-variance / reach) for reach in (_SHIFTED, _TWISTED))
        squeeze = (1.0 / axis_ratio - axis_ratio) / 2.0
        e1 = squeeze * torch.cos(2.0 * angle) + self.twist_1 * twist
        e2 = squeeze * torch.sin(2.0 * angle) + self.twist_2 * twist
        # So that no component is stretched to a line, and each keeps its area.
        area = torch.sqrt(1.0 + e1**2 + e2**2)
        round_part = variance * width
        return Gaussians(
            flux=flux,
            xx=round_part * (area + e1),
            xy=round_part * e2,
            yy=round_part * (area - e1),
            x=self.coma_x * shift,
            y=self.coma_y * shift,
        )


class PsfLibrary:
    """The shapes of one family for one set.

    Shapes depend on the family and the set alone, so that a name means the same in every simulation.

    Parameters
    ----------
    family
        "atmospheric" is the mean of the stars of HiTS 2015, with the wings of a turbulent atmosphere;
        "moffat" has wings that fall off faster; "double_gaussian" has a broad second component instead, and
        stands for another camera.
    split
        The set that the shapes are for.

    Attributes
    ----------
    names
        (256,) names of the shapes.
    flux, variance
        (K, 256) Gaussian components of each shape, narrowest first: fluxes that sum to 1, and variances
        in units of that of the Gaussian that fits the shape best.
    """

    def __init__(self, family: Family, split: Split) -> None:
        seed = [get_args(Family).index(family), get_args(Split).index(split)]
        rng = np.random.default_rng(seed)
        self.flux, variance = _FAMILIES[family](rng)
        self.variance = variance / fitted_variance(self.flux, variance)
        self.names = np.array([f"{family}-{split}-{index:03d}" for index in range(SHAPES)])

    def __len__(self) -> int:
        return len(self.names)

    def gaussians(
        self,
        shape: Tensor,
        fwhm: Tensor,
        angle: Tensor,
        axis_ratio: Tensor,
        wings: Tensor,
        aberrations: Aberrations | None = None,
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
            power in the mixture that `moffat` samples.
        aberrations
            What the optics add; None for nothing.
        """
        width = torch.clamp((fwhm / FWHM_OF_SIGMA) ** 2 - PIXEL_VARIANCE, min=_LEAST_VARIANCE)
        flux, variance = (
            torch.as_tensor(table, dtype=fwhm.dtype, device=shape.device)[:, shape]
            for table in (self.flux, self.variance)
        )
        flux = flux * variance**wings
        flux = flux / total(flux)
        variance = variance / fitted_variance(flux, variance)
        if aberrations is None:
            return Gaussians.elliptical(flux, variance * (width / axis_ratio), axis_ratio, angle)
        return aberrations.applied(flux, variance, width, axis_ratio, angle)


def fitted_variance(flux: Columns, variance: Columns) -> Columns:
    """Variance of the Gaussian that fits a round mixture best in the least-squares sense, (K, n) to (n,).

    With components of flux w and variance v, the overlap of the mixture with a Gaussian of variance s
    and unit norm goes as sqrt(s) sum(w / (v + s)); the loop finds where its derivative vanishes.
    """
    best = total(flux * variance)
    for _ in range(_FIT_ROUNDS):
        weight = flux / (variance + best) ** 2
        best = total(weight * variance) / total(weight)
    return best


def _draw_moffat(rng: np.random.Generator) -> Radial:
    """The median beta over the exposures of a star of HiTS 2015 is 4.0, give or take 8 % between stars."""
    return moffat(rng.lognormal(np.log(4.0), 0.08, SHAPES))


def _draw_double_gaussian(rng: np.random.Generator) -> Radial:
    return double_gaussian(rng.uniform(0.1, 0.3, SHAPES), rng.uniform(1.8, 2.6, SHAPES))


def _draw_atmospheric(rng: np.random.Generator) -> Radial:
    """Four Gaussians, fitted to 600 stamps of the non-variable stars of HiTS 2015 at once.

    From 8 to 14 pixels the light of those stars falls off as r^-3.8, as that of Kolmogorov's atmosphere does
    (r^-11/3), some 30 % above it. The mixture has two thirds of that light at two FWHM and none beyond four.
    """
    flux = np.array([0.2393, 0.4391, 0.2578, 0.0638])[:, None]
    variance = np.array([0.5876, 1.0259, 2.4353, 9.2])[:, None]
    flux = flux * variance ** rng.normal(0.0, 0.05, SHAPES)
    return flux / flux.sum(axis=0), np.repeat(variance, SHAPES, axis=1)


_FAMILIES: dict[Family, Callable[[np.random.Generator], Radial]] = {
    "moffat": _draw_moffat,
    "double_gaussian": _draw_double_gaussian,
    "atmospheric": _draw_atmospheric,
}
