"""Host galaxies: an exponential disc and a de Vaucouleurs bulge (thesis section 3.1.3, equation 3.2).

Both profiles are drawn as sums of Gaussians with the coefficients of Hogg & Lang (2013, PASP 125,
719), so that neither has the infinite spike that the thesis averages away over twenty positions.

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

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from astroreel.images.gaussians import Gaussians
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

# Flux over the profile's total flux, and standard deviation in half-light radii. Some 1 % of the disc
# and 10 % of the bulge, far outside, are in no component. The first of the bulge's stands for the
# three innermost of eight, which no point spread function tells apart.
_DISC = np.array([(0.09733, 0.12068), (1.12804, 0.32730), (4.99846, 0.68542), (5.63632, 1.28089)])
_BULGE = np.array(
    [
        (0.16175, 0.01345),
        (0.51326, 0.03930),
        (1.52005, 0.09926),
        (3.56204, 0.24699),
        (6.44845, 0.63883),
        (8.10105, 1.92560),
    ]
)
_DISC_TOTAL = 11.948  # 2 pi n exp(b) b^-2n Gamma(2n), n = 1: of a profile of unit intensity at R_e
_BULGE_TOTAL = 22.665  # the same with n = 4


class HostLibrary:
    """The galaxies of one set; they depend on the set alone.

    Parameters
    ----------
    split
        The set that the galaxies are for.

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
    """

    def __init__(self, split: Split) -> None:
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

    def gaussians(
        self, host: NDArray[np.int64], angle: NDArray[np.float64], pixscale: NDArray[np.float64]
    ) -> Gaussians:
        """Galaxies of unit flux before any point spread function.

        Parameters
        ----------
        host
            (n,) indices of galaxies.
        angle
            (n,) angle of the major axis from x towards y [rad].
        pixscale
            (n,) [arcsec/pixel].
        """
        share = self.bulge_fraction[host]
        disc = _profile(_DISC, (1.0 - share) / _DISC_TOTAL, self.disc_radius[host] / pixscale)
        bulge = _profile(_BULGE, share / _BULGE_TOTAL, self.bulge_radius[host] / pixscale)
        return Gaussians.elliptical(*disc, self.disc_axis_ratio[host], angle).join(
            Gaussians.elliptical(*bulge, self.bulge_axis_ratio[host], angle)
        )

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


def _profile(
    coefficients: NDArray[np.float64], flux: NDArray[np.float64], radius: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux and variance [pixel^2] of the components of n profiles, (n, K) each."""
    amplitude, sigma = coefficients.T
    return flux[:, None] * amplitude, (radius[:, None] * sigma) ** 2
