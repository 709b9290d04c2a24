"""Radial profiles as sums of Gaussians.

Moffat's and Sersic's profiles are sums over Gaussians of every width (Laplace transforms in r^2), with a
smooth density in the logarithm of the width. Sampling that density in equal steps of the logarithm therefore
converges faster than any power of the step; the widths beyond either end of the steps are merged into the
last one there, keeping flux and variance. Where few widths have light, they are fitted, as in Hogg & Lang
(2013, PASP 125, 719).

Arrays are (K, n): the components, narrowest first, of n profiles.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, loggamma

#: Flux and variance of the components.
Radial = tuple[NDArray[np.float64], NDArray[np.float64]]

#: The families of point spread functions.
Family = Literal["moffat", "double_gaussian", "atmospheric"]

_MOFFAT_RATES = np.geomspace(7.0, 7.0 / 64.0, 7)

#: Of an exponential disc, in half-light radii; and the flux of each.
_DISC_SIGMA = np.geomspace(0.1, 2.0, 6)
_DISC_FLUX = np.array([0.00373, 0.01082, 0.07203, 0.29994, 0.53265, 0.08136])

#: Steps beyond either end that are merged: all that has flux.
_BEYOND = 24


def moffat(beta: NDArray[np.float64]) -> Radial:
    """Moffat profiles (1 + r^2)^-beta of unit flux, (7, n) each; meant for a beta of 2.5 and more.

    (1 + r^2)^-beta is the integral of s^(beta - 1) exp(-s) exp(-s r^2) ds over Gamma(beta).
    """
    rate = _extended(_MOFFAT_RATES)[:, None]
    flux = rate ** (beta - 1.0) * np.exp(-rate)
    return _ends_merged(flux / flux.sum(axis=0), 0.5 / rate)


def double_gaussian(share: NDArray[np.float64], ratio: NDArray[np.float64]) -> Radial:
    """A core and a component ``ratio`` times as broad with a ``share`` of the flux, (2, n) each."""
    return np.stack([1.0 - share, share]), np.stack([np.ones_like(ratio), ratio**2])


def exponential(radius: NDArray[np.float64]) -> Radial:
    """Exponential discs of half-light radii (n,) and of unit flux, (6, n) each.

    The flux of every width is fitted by non-negative least squares to the profile and to the flux within a
    radius, as seen through a Gaussian of 0.06 to 0.3 radii; through one of 0.07 radii and more they are met
    to 0.2 % of the peak and of the flux.
    """
    flux = np.repeat(_DISC_FLUX[:, None], len(radius), axis=1)
    return flux / _DISC_FLUX.sum(), (_DISC_SIGMA[:, None] * radius) ** 2


def sersic(index: int, radius: NDArray[np.float64], sigma: NDArray[np.float64]) -> Radial:
    """Sersic profiles exp(-b (r / R)^(1 / index)) of unit flux as components of given widths.

    Parameters
    ----------
    index
        1 is an exponential disc, 4 de Vaucouleurs's profile.
    radius
        (n,) half-light radii R.
    sigma
        (K,) standard deviations in equal ratios, ascending. Equal ratios of at most 1.65 meet a disc to
        0.3 % of its peak, of at most 2.6 the profile of index 4.
    """
    width = _extended(sigma)[:, None]
    flux = np.interp(2.0 * np.log(width / radius), *_sersic_density(index), left=0.0, right=0.0)
    return _ends_merged(flux / flux.sum(axis=0), width**2)


@cache
def _sersic_density(index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux per unit of ln(variance / R^2), on a grid of it.

    exp(-b u^(1 / 2 index)) with u = r^2 is the mean of exp(-s u) over a stable distribution of s, whose
    moments E[s^-z] = b^(-2 index z) Gamma(1 + 2 index z) / Gamma(1 + z) hold for complex z. A Gaussian of
    that s has the flux pi / s, so that along z = 1 - it they are the Fourier transform of the flux.
    """
    grid, step = np.linspace(-22.0, 12.0, 1701), 0.1
    t = np.arange(-30.0, 30.0, step)

    def log_moment(z: NDArray[Any]) -> NDArray[Any]:
        power = 2.0 * index * z
        return loggamma(1.0 + power) - loggamma(1.0 + z) - power * np.log(gammaincinv(2.0 * index, 0.5))

    moments = np.exp(log_moment(1.0 - 1j * t) - log_moment(np.ones(1, complex)))
    # ln s is -ln(2 variance).
    waves = np.exp(1j * np.outer(grid + np.log(2.0), t))
    return grid, np.maximum((waves @ moments).real * step / (2.0 * np.pi), 0.0)


def _extended(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A geometric series and what comes before and after it, (K + 2 * 24,)."""
    ratio = (steps[-1] / steps[0]) ** (1.0 / (len(steps) - 1))
    return steps[0] * ratio ** np.arange(-_BEYOND, len(steps) + _BEYOND)


def _ends_merged(flux: NDArray[np.float64], variance: NDArray[np.float64]) -> Radial:
    """The components less the extension, (K, n); each end has the flux and variance of what it stands for."""
    energy = flux * variance
    merged_flux, merged_energy = (
        np.concatenate(
            [
                column[: _BEYOND + 1].sum(axis=0, keepdims=True),
                column[_BEYOND + 1 : -_BEYOND - 1],
                column[-_BEYOND - 1 :].sum(axis=0, keepdims=True),
            ]
        )
        for column in (flux, energy)
    )
    kept = np.broadcast_to(variance[_BEYOND:-_BEYOND], merged_flux.shape)
    return merged_flux, np.divide(merged_energy, merged_flux, out=kept.copy(), where=merged_flux > 0.0)
