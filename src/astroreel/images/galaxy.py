"""Host galaxies: an exponential disc and a de Vaucouleurs bulge (thesis section 3.1.3, equation 3.2).

Both profiles are drawn as sums of Gaussians, so that neither has the infinite spike that the thesis
averages away over twenty positions.

The thesis takes galaxies from an SDSS catalogue; here they are drawn from what SDSS has measured:

- redshift: z^2 exp(-(z / z0)^1.5), the form of a flux-limited survey (Smail et al. 1994, MNRAS 270,
  245), with a median of 0.3;
- luminosity in g: the Schechter function of Blanton et al. (2003, ApJ 592, 819), weighted with the
  luminosity, for a supernova goes off where stars are;
- half-light radius: 3.6 kpc at L*, rising as L^0.35 with a scatter of 0.4 in its logarithm, between
  the faint and the bright slope of late types of Shen et al. (2003, MNRAS 343, 978);
- disc inclination: random, with a thickness of a fifth; bulge fraction: Beta(1, 3), mean a quarter.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astroreel.images.gaussians import Gaussians
from astroreel.images.profiles import exponential, sersic
from astroreel.lightcurves.partition import Split

#: Galaxies that each set has.
HOSTS = 2048

_SERSIC_B1 = 1.678  # the disc's half-light radius over its scale length (thesis equation 3.2)
_SMAIL_Z0 = 0.21
_SCHECHTER_MAGNITUDE = -20.16  # g, h = 0.7
_SCHECHTER_SLOPE = -0.89
_MEDIAN_RADIUS = 3.6  # kpc at L*
_K_SLOPE = 1.5  # K correction in g over redshift, about that of an Sbc galaxy [mag]
_NEIGHBOURS = 8

#: Widths of a bulge's components over the side of a pixel; what is much finer than any point spread
#: function is one component.
_BULGE_SIGMA = np.geomspace(0.45, 0.45 * 2.6**6, 7)

#: Through how many components of the point spread function each is seen: the broader, the fewer. A disc
#: seen edge on is narrow however large it is; a bulge never is.
_SEEN = (4,) * 6 + (4, 4, 4, 2, 1, 1, 1)


class HostLibrary:
    """The galaxies of one set; they depend on the set alone.

    Parameters
    ----------
    split
        The set that the galaxies are for.
    resolution
        Side of the smallest pixel that they are seen in [arcsec].

    Attributes
    ----------
    names
        (2048,) names of the galaxies.
    redshift
        (2048,).
    magnitude
        (2048,) apparent magnitude in g of the whole galaxy [mag].
    disc_radius, bulge_radius
        (2048,) half-light radii along the major axis [arcsec].
    disc_axis_ratio, bulge_axis_ratio
        (2048,) ratio of the minor to the major axis.
    bulge_fraction
        (2048,) share of the bulge in the flux.
    flux, variance, axis_ratio
        (K, 2048) components, those of the disc first: shares of the flux, variances along the major
        axis [arcsec^2], and ratios of the minor to the major axis.
    """

    def __init__(self, split: Split, resolution: float) -> None:
        from astropy.cosmology import Planck18

        rng = np.random.default_rng(get_args(Split).index(split))
        self.names = np.array([f"host-{split}-{index:04d}" for index in range(HOSTS)])
        self.redshift = _SMAIL_Z0 * rng.gamma(2.0, size=HOSTS) ** (2.0 / 3.0)
        luminosity = rng.gamma(_SCHECHTER_SLOPE + 2.0, size=HOSTS)
        self.magnitude = (
            _SCHECHTER_MAGNITUDE
            - 2.5 * np.log10(luminosity)
            + Planck18.distmod(self.redshift).value
            + _K_SLOPE * self.redshift
        )
        radius = _MEDIAN_RADIUS * luminosity**0.35 * rng.lognormal(0.0, 0.4, HOSTS)
        self.bulge_fraction = np.clip(rng.beta(1.0, 3.0, HOSTS), 0.01, 0.99)
        self.disc_radius = radius * Planck18.arcsec_per_kpc_proper(self.redshift).value
        self.bulge_radius = self.disc_radius * (0.2 + 0.8 * self.bulge_fraction)
        self.disc_axis_ratio = np.sqrt(0.04 + 0.96 * rng.random(HOSTS) ** 2)
        self.bulge_axis_ratio = rng.uniform(0.6, 1.0, HOSTS)

        disc_flux, disc_variance = exponential(self.disc_radius)
        bulge_flux, bulge_variance = sersic(4, self.bulge_radius, resolution * _BULGE_SIGMA)
        share = self.bulge_fraction
        self.flux = np.concatenate([(1.0 - share) * disc_flux, share * bulge_flux])
        self.variance = np.concatenate([disc_variance, bulge_variance])
        self.axis_ratio = np.concatenate(
            [
                np.broadcast_to(self.disc_axis_ratio, disc_flux.shape),
                np.broadcast_to(self.bulge_axis_ratio, bulge_flux.shape),
            ]
        )

    def __len__(self) -> int:
        return len(self.names)

    def near(
        self,
        quantity: Literal["redshift", "magnitude"],
        values: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """For each of n values, one of the galaxies that come nearest in a quantity, (n,) indices."""
        column = self.redshift if quantity == "redshift" else self.magnitude
        order = np.argsort(column)
        rank = np.searchsorted(column, values, sorter=order)
        rank += rng.integers(-_NEIGHBOURS, _NEIGHBOURS + 1, len(values))
        return order[np.clip(rank, 0, len(self) - 1)]

    def gaussians(self, host: Tensor, angle: Tensor, pixscale: Tensor, psf: Gaussians) -> Gaussians:
        """Galaxies of unit flux seen through point spread functions.

        Parameters
        ----------
        host
            (n,) indices of galaxies.
        angle
            (n,) angle of the major axis from x towards y [rad].
        pixscale
            (n,) [arcsec/pixel].
        psf
            n point spread functions.
        """
        flux, variance, axis_ratio = (
            torch.as_tensor(table, dtype=angle.dtype, device=host.device)[:, host]
            for table in (self.flux, self.variance, self.axis_ratio)
        )
        galaxy = Gaussians.elliptical(flux, variance / pixscale**2, axis_ratio, angle)
        seen = [min(number, len(psf.flux)) for number in _SEEN]
        merged = {number: psf.merge_after(number) for number in sorted(set(seen))}
        first = dict(zip(merged, np.cumsum([0, *merged]), strict=False))
        pairs = [(k, first[number] + part) for k, number in enumerate(seen) for part in range(number)]
        of_galaxy, of_psf = zip(*pairs, strict=True)
        seen_through = reduce(Gaussians.join, merged.values()).select(of_psf)
        return galaxy.select(of_galaxy).convolve(seen_through)

    def offset(
        self,
        host: NDArray[np.int64],
        angle: NDArray[np.float64],
        pixscale: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the galaxy's centre lies from a transient that follows its disc's light.

        Returns x and y [pixel], (n,) each; parameters as in `gaussians`.
        """
        scale = self.disc_radius[host] / _SERSIC_B1 / pixscale
        radius = scale * rng.gamma(2.0, size=len(host))
        around = rng.uniform(0.0, 2.0 * np.pi, len(host))
        along = radius * np.cos(around)
        across = radius * np.sin(around) * self.disc_axis_ratio[host]
        cosine, sine = np.cos(angle), np.sin(angle)
        return along * cosine - across * sine, along * sine + across * cosine
