"""Eclipsing binaries of main-sequence stars: detached, semi-detached and in contact."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_exposures
from astroreel.lightcurves.partition import Split, members
from astroreel.lightcurves.registry import register
from astroreel.lightcurves.rejection import redraw

_LIBRARY_SEED = 2019
_LIBRARY_PAIRS = 100_000
_PERIODS = (0.2, 10.0)  # d
_MASSES = (0.5, 2.0)  # solar masses, the heavier star
_MASS_RATIOS = (0.2, 1.0)
_N_SIGMA = 5.0
_NOISE_FLOOR = 0.01  # of the flux: what calibration leaves for stars far above the limit

#: One row a binary; lengths in units of the separation, light in units of the pair's. ``ellipsoidal`` is
#: the half amplitude of the light that the stars' stretched shape adds at quadrature.
_BINARY_DTYPE = np.dtype(
    [
        ("name", "U16"),
        ("period", "f8"),
        ("radius1", "f8"),
        ("radius2", "f8"),
        ("cos_i", "f8"),
        ("light2", "f8"),
        ("ellipsoidal", "f8"),
    ]
)


@register
class EclipsingBinary(LightCurveModel):
    """Binaries whose eclipse shows at 5 sigma in at least one exposure (thesis section 3.1.2)."""

    name = "eclipsing_binary"

    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        """As the base class; stars are grey here, so every band is alike."""
        require_exposures(self.name, mask)
        library = _library_of(split)
        binaries = np.empty(len(times), _BINARY_DTYPE)
        magnitudes = np.empty(times.shape)

        def attempt(objects: NDArray[np.int64]) -> NDArray[np.bool_]:
            k = len(objects)
            binaries[objects] = rng.choice(library, size=k)
            phase = times[objects] / binaries["period"][objects, None] + rng.random((k, 1))
            flux = relative_flux(binaries[objects], phase)
            brightest = self.magnitudes.sample(k, rng)[:, None]
            magnitudes[objects] = brightest - 2.5 * np.log10(flux)
            seen = _eclipse_seen(flux, brightest, limits[objects])
            return np.any(seen & mask[objects], axis=1)

        redraw(len(times), attempt, self.name, f"an eclipse at {_N_SIGMA:g} sigma")
        return LightCurveSample.of(
            magnitudes,
            magnitude=np.mean(magnitudes, axis=1, where=mask),
            template=binaries["name"],
            period=binaries["period"],
        )


def relative_flux(binaries: NDArray[np.void], phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of binaries (n,) at phases (n, T), 1 at quadrature; the primary eclipse is at phase 0.

    Stars are uniform discs on a circular orbit. The light that their stretched shape adds goes as the
    cosine of twice the phase (Morris & Naftilan 1993, ApJ 419, 344).
    """
    angle = 2.0 * np.pi * phase
    pair = {name: binaries[name][:, None] for name in _BINARY_DTYPE.names or () if name != "name"}
    distance = np.sqrt(np.sin(angle) ** 2 + (pair["cos_i"] * np.cos(angle)) ** 2)
    hidden = overlap_area(distance, pair["radius1"], pair["radius2"]) / np.pi
    behind1 = np.cos(angle) > 0.0
    lost = np.where(
        behind1,
        (1.0 - pair["light2"]) * hidden / pair["radius1"] ** 2,
        pair["light2"] * hidden / pair["radius2"] ** 2,
    )
    stretched = 1.0 - pair["ellipsoidal"] * np.cos(2.0 * angle)
    return (1.0 - lost) * stretched / (1.0 + pair["ellipsoidal"])


def overlap_area(
    distance: NDArray[np.float64], radius1: NDArray[np.float64], radius2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area that two discs share, by the distance of their centres; arrays broadcast."""
    nearest, farthest = np.abs(radius1 - radius2), radius1 + radius2
    apart = np.clip(distance, np.maximum(nearest, 1e-12), farthest)
    along1 = (apart**2 + radius1**2 - radius2**2) / (2.0 * apart)
    along2 = apart - along1
    half_chord = np.sqrt(np.maximum(radius1**2 - along1**2, 0.0))
    segments = (
        radius1**2 * np.arccos(np.clip(along1 / radius1, -1.0, 1.0))
        + radius2**2 * np.arccos(np.clip(along2 / radius2, -1.0, 1.0))
        - apart * half_chord
    )
    whole = np.pi * np.minimum(radius1, radius2) ** 2
    return np.where(distance <= nearest, whole, np.where(distance < farthest, segments, 0.0))


def _eclipse_seen(
    flux: NDArray[np.float64], brightest: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where the light lost since the constant regime is above the noise; (n, T)."""
    sky_noise = 10.0 ** (-0.4 * (limits - brightest)) / 5.0  # limits are 5 sigma
    return 1.0 - flux > _N_SIGMA * np.hypot(sky_noise, _NOISE_FLOOR * flux)


@cache
def _library_of(split: Split) -> NDArray[np.void]:
    library = _library()
    return library[members(library["name"], split)]


def _library() -> NDArray[np.void]:
    """Binaries that eclipse, drawn once from a fixed seed so that each has a name for ever."""
    binaries = _draw_binaries(_LIBRARY_PAIRS, np.random.default_rng(_LIBRARY_SEED))
    binaries["name"] = [f"binary-{index:05d}" for index in range(len(binaries))]
    return binaries


def _draw_binaries(n: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Those of ``n`` random pairs that eclipse.

    Main-sequence stars: R = M^0.8, T as M^0.5, and g light of a surface as T^5. Kepler's third law
    gives the separation, a = 4.21 R_sun (M / M_sun)^(1/3) (P / d)^(2/3). A star that would overflow its
    Roche lobe fills it: the pair is semi-detached, or, where both do, in contact and equally hot (Lucy 1968).
    """
    period = _log_uniform(_PERIODS, n, rng)
    mass = _log_uniform(_MASSES, n, rng)
    ratio = rng.uniform(*_MASS_RATIOS, n)
    separation = 4.21 * np.cbrt(mass * (1.0 + ratio) * period**2)
    radius1, radius2 = mass**0.8 / separation, (mass * ratio) ** 0.8 / separation
    lobe1, lobe2 = _roche_lobe(1.0 / ratio), _roche_lobe(ratio)
    contact = (radius1 > lobe1) & (radius2 > lobe2)

    pairs = np.zeros(n, _BINARY_DTYPE)
    pairs["period"] = period
    pairs["radius1"] = np.minimum(radius1, lobe1)
    pairs["radius2"] = np.minimum(radius2, lobe2)
    pairs["cos_i"] = rng.random(n)
    light = np.where(contact, 1.0, ratio**2.5) * (pairs["radius2"] / pairs["radius1"]) ** 2
    pairs["light2"] = light / (1.0 + light)
    pull1 = ratio * pairs["radius1"] ** 3 * (1.0 - pairs["light2"])
    pull2 = pairs["radius2"] ** 3 / ratio * pairs["light2"]
    pairs["ellipsoidal"] = 1.5 * (pull1 + pull2) * (1.0 - pairs["cos_i"] ** 2)
    return pairs[pairs["cos_i"] < pairs["radius1"] + pairs["radius2"]]


def _log_uniform(bounds: tuple[float, float], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), n))


def _roche_lobe(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius of a star's Roche lobe over the separation, by its mass over the other's (Eggleton 1983)."""
    cube = np.cbrt(ratio)
    return 0.49 * cube**2 / (0.6 * cube**2 + np.log1p(cube))
