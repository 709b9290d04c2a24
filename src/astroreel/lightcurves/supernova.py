"""Supernovae of types Ia and II, at the rate and the distance at which they explode.

Thesis section 3.1.2 takes type Ia from Hsiao's spectra, as here, and type II from the models of Moriya
et al. (2018), for which a cooling plateau stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from astroreel.errors import UserError
from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, first_true, require_exposures
from astroreel.lightcurves.magnitudes import cutoff_factor
from astroreel.lightcurves.partition import Split, members
from astroreel.lightcurves.registry import register
from astroreel.lightcurves.rejection import redraw
from astroreel.lightcurves.supernova_light import (
    IA_FIRST_PHASE,
    MAX_REDSHIFT,
    dust_dimming,
    type_ia,
    type_ii_correction,
    type_ii_shape,
)

_LIBRARY_SEED = 2007
_LIBRARY_SIZE = 4000  # of each type

#: Explosions per year and Mpc^3 near by (Li et al. 2011, MNRAS 412, 1473) and the power of (1 + z) with
#: which they grow (Ia: Dilday et al. 2010, ApJ 713, 1026; II: star formation, Madau & Dickinson 2014).
_RATE_IA, _GROWTH_IA = 3.0e-5, 1.5
_RATE_II, _GROWTH_II = 4.5e-5, 2.7

#: Mean of the exponential distribution of the dimming by the host's dust [mag in V] (Kessler et al. 2009,
#: ApJS 185, 32).
_MEAN_DUST = 0.33

#: Days before the first exposure in which an explosion may still rise after it: Hsiao's 20 d, stretched by at
#: most 1.25, at the highest redshift.
_LONGEST_RISE = 1.25 * -IA_FIRST_PHASE * (1.0 + MAX_REDSHIFT)

_MIN_REDSHIFT = 0.005
_MOST_BATCHES = 200
_HOPELESS = 2.0  # mag beyond the cutoff, where cutoff_factor keeps one in 400

#: One row a supernova: its peak absolute magnitude before dust, the dust [mag in V], for type Ia its
#: stretch, for type II its rise [d] and its decline [mag/d].
_TEMPLATE_DTYPE = np.dtype(
    [
        ("name", "U16"),
        ("is_ia", "?"),
        ("peak", "f8"),
        ("dust", "f8"),
        ("stretch", "f8"),
        ("rise", "f8"),
        ("decline", "f8"),
    ]
)


@dataclass(frozen=True)
class _Explosions:
    """Supernovae (n,) of :data:`_TEMPLATE_DTYPE` at redshifts and distance moduli (n,)."""

    template: NDArray[np.void]
    redshift: NDArray[np.float64]
    modulus: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.template)

    def select(self, which: NDArray[np.bool_] | slice) -> _Explosions:
        return _Explosions(self.template[which], self.redshift[which], self.modulus[which])


@register
class Supernova(LightCurveModel):
    """Supernovae that rise by 5 sigma, over their quiet level and over their first exposure.

    Explosion times are uniform, from as long before the first exposure as a rise can last up to the last one:
    a survey finds what is on its way up when it starts as well as what explodes later. What only fades is
    left out, for it never rises above difference images against early ones. The alert is the first exposure
    5 sigma above the quiet level, the mean of the faintest quarter, as `photometry.detection` has it. That
    detects 15 % of HiTS's supernovae within the first ten epochs of good seeing, and as many of these once
    they are rendered; were no explosion to come before the first exposure, it would be 4 %.

    Their numbers against the brightest magnitude over the exposures end in the same cutoff as those of
    the other classes.
    """

    name = "supernova"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        require_exposures(self.name, mask)
        first = np.min(times, axis=1, where=mask, initial=np.inf)
        last = np.max(times, axis=1, where=mask, initial=-np.inf)
        n = len(times)
        magnitudes = np.empty(times.shape)
        template = np.empty(n, _TEMPLATE_DTYPE["name"])
        redshift = np.empty(n)
        alert = np.empty(n, dtype=np.int64)

        def attempt(objects: NDArray[np.int64]) -> NDArray[np.bool_]:
            k = len(objects)
            explosions = self._promising(k, band, split, rng)
            explosion_time = rng.uniform(first[objects] - _LONGEST_RISE, last[objects])
            seen = apparent_magnitude(explosions, times[objects] - explosion_time[:, None], band)
            alert[objects] = _alerts(seen, mask[objects], limits[objects])
            magnitudes[objects] = seen
            template[objects] = explosions.template["name"]
            redshift[objects] = explosions.redshift
            brightest = np.min(seen, axis=1, where=mask[objects], initial=np.inf)
            kept = rng.random(k) < cutoff_factor(brightest, self.magnitudes.cutoff)
            return (alert[objects] >= 0) & kept

        redraw(n, attempt, self.name, "a rise above the limiting magnitude")
        return LightCurveSample.of(
            magnitudes,
            magnitude=np.min(magnitudes, axis=1, where=mask, initial=np.inf),
            template=template,
            redshift=redshift,
            alert=alert,
        )

    def _promising(self, n: int, band: str, split: Split, rng: np.random.Generator) -> _Explosions:
        """``n`` explosions, leaving out at once those too faint to be kept at their very peak."""
        faintest = self.magnitudes.cutoff + _HOPELESS
        found: list[_Explosions] = []
        for _ in range(_MOST_BATCHES):
            drawn = _draw_explosions(3 * n + 64, split, rng)
            found.append(drawn.select(_peak_magnitude(drawn, band) < faintest))
            if sum(map(len, found)) >= n:
                return _join(found).select(slice(n))
        raise UserError(
            f"supernova: hardly any explosion is brighter than {faintest:g} mag: "
            "give the survey a fainter magnitude limit"
        )


def _alerts(
    magnitudes: NDArray[np.float64], mask: NDArray[np.bool_], limits: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The exposure of each alert, (n,); -1 where nothing rises above the limiting magnitudes."""
    light, limit = 10.0 ** (-0.4 * magnitudes), 10.0 ** (-0.4 * limits)
    at_first = np.take_along_axis(light, np.argmax(mask, axis=1)[:, None], axis=1)
    detected = mask & (light - _quiet_light(light, mask)[:, None] > limit)
    rising = detected & (light - at_first > limit)
    return np.where(rising.any(axis=1), first_true(detected), -1)


def _quiet_light(light: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the faintest quarter of the exposures, one at least; (n, T) to (n,)."""
    count = np.maximum(mask.sum(axis=1) // 4, 1)
    faintest = np.arange(mask.shape[1]) < count[:, None]
    return np.mean(np.sort(np.where(mask, light, np.inf), axis=1), axis=1, where=faintest)


def apparent_magnitude(explosions: _Explosions, days: NDArray[np.float64], band: str) -> NDArray[np.float64]:
    """Magnitudes at observer-frame days since the explosion (n, T); inf before it."""
    age = days / (1.0 + explosions.redshift[:, None])
    light = np.full(days.shape, np.inf)
    is_ia = explosions.template["is_ia"]
    light[is_ia] = _light_ia(explosions.select(is_ia), age[is_ia], band)
    light[~is_ia] = _light_ii(explosions.select(~is_ia), age[~is_ia], band)
    return np.where(days > 0.0, light + _peak(explosions, band)[:, None], np.inf)


def _peak(explosions: _Explosions, band: str) -> NDArray[np.float64]:
    """Magnitude of the peak in rest-frame B, dimmed in the band by dust; (n,)."""
    dust = explosions.template["dust"] * dust_dimming(band, explosions.redshift)
    return explosions.template["peak"] + explosions.modulus + dust


def _light_ia(explosions: _Explosions, age: NDArray[np.float64], band: str) -> NDArray[np.float64]:
    phase = age / explosions.template["stretch"][:, None] + IA_FIRST_PHASE
    return type_ia(band)(phase, explosions.redshift)


def _light_ii(explosions: _Explosions, age: NDArray[np.float64], band: str) -> NDArray[np.float64]:
    shape = type_ii_shape(age, explosions.template["rise"], explosions.template["decline"])
    return shape + type_ii_correction(band)(age, explosions.redshift)


def _peak_magnitude(explosions: _Explosions, band: str) -> NDArray[np.float64]:
    """Magnitude that an explosion cannot outshine, (n,)."""
    z = explosions.redshift
    ia, ii = type_ia(band).brightest(z), type_ii_correction(band).brightest(z)
    return _peak(explosions, band) + np.where(explosions.template["is_ia"], ia, ii)


def _draw_explosions(n: int, split: Split, rng: np.random.Generator) -> _Explosions:
    ia, ii = _library(split)
    grid, modulus, rate_ia, rate_ii = _rates()
    is_ia = rng.random(n) < rate_ia[-1] / (rate_ia[-1] + rate_ii[-1])
    place = rng.random(n)
    z = np.where(
        is_ia,
        np.interp(place * rate_ia[-1], rate_ia, grid),
        np.interp(place * rate_ii[-1], rate_ii, grid),
    )
    template = np.where(is_ia, rng.choice(ia, size=n), rng.choice(ii, size=n))
    return _Explosions(template, z, np.interp(z, grid, modulus))


def _join(parts: list[_Explosions]) -> _Explosions:
    return _Explosions(
        np.concatenate([part.template for part in parts]),
        np.concatenate([part.redshift for part in parts]),
        np.concatenate([part.modulus for part in parts]),
    )


@cache
def _rates() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Redshifts, distance moduli [mag], and the rates of type Ia and II below each redshift."""
    from astropy.cosmology import Planck18

    grid = np.linspace(_MIN_REDSHIFT, MAX_REDSHIFT, 400)
    # An observer's year is shorter at the source by 1 + z.
    volume = Planck18.differential_comoving_volume(grid).value / (1.0 + grid)
    rate_ia = np.cumsum(_RATE_IA * (1.0 + grid) ** _GROWTH_IA * volume)
    rate_ii = np.cumsum(_RATE_II * (1.0 + grid) ** _GROWTH_II * volume)
    return grid, Planck18.distmod(grid).value, rate_ia, rate_ii


@cache
def _library(split: Split) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """The templates of a set, types Ia and II, drawn from a fixed seed so that each has a name for ever."""
    rng = np.random.default_rng(_LIBRARY_SEED)
    ia, ii = _draw_ia(rng), _draw_ii(rng)
    return ia[members(ia["name"], split)], ii[members(ii["name"], split)]


def _draw_ia(rng: np.random.Generator) -> NDArray[np.void]:
    """Type Ia: peak in B by Richardson et al. (2014, AJ 147, 118), stretch as Guy et al. (2007, A&A 466, 11).

    A slower one is brighter, as in the relation of Tripp (1998, A&A 331, 815).
    """
    templates = np.zeros(_LIBRARY_SIZE, _TEMPLATE_DTYPE)
    x1 = rng.normal(0.0, 1.0, _LIBRARY_SIZE)
    templates["name"] = [f"ia-{index:04d}" for index in range(_LIBRARY_SIZE)]
    templates["is_ia"] = True
    templates["stretch"] = 0.98 + 0.091 * np.clip(x1, -3.0, 3.0)
    templates["peak"] = -19.25 - 0.14 * x1 + rng.normal(0.0, 0.15, _LIBRARY_SIZE)
    templates["dust"] = rng.exponential(_MEAN_DUST, _LIBRARY_SIZE)
    return templates


def _draw_ii(rng: np.random.Generator) -> NDArray[np.void]:
    """Type II: peak in B near Richardson et al. (2014, AJ 147, 118).

    Rises of about a week in g as Gonzalez-Gaitan et al. (2015, MNRAS 451, 2212).
    """
    templates = np.zeros(_LIBRARY_SIZE, _TEMPLATE_DTYPE)
    templates["name"] = [f"ii-{index:04d}" for index in range(_LIBRARY_SIZE)]
    deviation = ndtri(rng.uniform(ndtr(-2.2), ndtr(2.7), _LIBRARY_SIZE))  # normal, its ends cut off
    templates["peak"] = -16.9 + 0.9 * deviation
    templates["dust"] = rng.exponential(_MEAN_DUST, _LIBRARY_SIZE)
    templates["rise"] = rng.lognormal(np.log(2.5), 0.3, _LIBRARY_SIZE)
    templates["decline"] = rng.lognormal(np.log(0.02), 0.4, _LIBRARY_SIZE)
    return templates
