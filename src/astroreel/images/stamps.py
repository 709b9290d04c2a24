"""Stamps: a source, its host, the sky and the detector put together (thesis section 3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astroreel.images.departures import Departures
from astroreel.images.detector import expose
from astroreel.images.galaxy import HostLibrary
from astroreel.images.gaussians import STAMP_SIZE, Gaussians
from astroreel.images.psf import Family, PsfLibrary
from astroreel.lightcurves.partition import Split
from astroreel.survey.survey import Survey

#: `Scenes.host` of an object that has none.
NO_HOST = -1

#: Time between two exposures that a day must lie in [d].
_DAYTIME = 0.4

#: Frames drawn at once: few enough that the arrays stay in a core's cache.
_BLOCK = 256


@dataclass(frozen=True)
class Scenes:
    """What n objects keep through their sequences, all of length n.

    Attributes
    ----------
    psf
        Index of the point spread function's shape.
    place
        How images at the object's place depart from the headers, in all exposures alike.
    host
        Index of the galaxy, :data:`NO_HOST` for none.
    host_angle
        Angle of the galaxy's major axis [rad].
    host_x, host_y
        Centre of the galaxy from the source [pixel].
    host_magnitude
        Magnitude of the galaxy [mag], inf for none.
    x, y
        Usual position of the source from the centre of the central pixel [pixel].
    wander
        How much of the position is drawn anew in every frame, 0 to 1.
    """

    psf: NDArray[np.int64]
    place: Departures
    host: NDArray[np.int64]
    host_angle: NDArray[np.float64]
    host_x: NDArray[np.float64]
    host_y: NDArray[np.float64]
    host_magnitude: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    wander: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.psf)


class Imager:
    """Draws stamps as one survey would take them.

    Parameters
    ----------
    survey
        Gives the width of a point spread function for a seeing, and how images scatter about headers.
    split
        The set that the stamps are for: two sets share no point spread function and no host.
    psf_family
        Family of the point spread functions.
    noise_correlation
        See `expose`.
    """

    def __init__(
        self, survey: Survey, split: Split, psf_family: Family = "moffat", noise_correlation: float = 0.0
    ) -> None:
        self.psfs = PsfLibrary(psf_family, split)
        self.hosts = HostLibrary(split)
        self._survey = survey
        self._noise_correlation = noise_correlation

    def compose(
        self,
        cameras: NDArray[np.void],
        hosted: NDArray[np.bool_],
        redshift: NDArray[np.float64],
        galaxy_magnitude: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Scenes:
        """Draw all that stays the same through the sequences of n objects.

        Parameters
        ----------
        cameras
            (n,) of CAMERA_DTYPE.
        hosted
            (n,) true for a source that lies in the disc of a galaxy.
        redshift
            (n,) redshift that the galaxy has to match, NaN where any will do.
        galaxy_magnitude
            (n,) magnitude of an object that is a galaxy itself, at its centre; NaN for all others.
        rng
            Source of all randomness.
        """
        n = len(cameras)
        is_galaxy = np.isfinite(galaxy_magnitude)
        host = self._choose_hosts(hosted, redshift, galaxy_magnitude, rng)
        host_angle = _any_angle(n, rng)
        host_x, host_y = self.hosts.offset(host, host_angle, cameras["pixscale"], rng)
        host_magnitude = np.where(host == NO_HOST, np.inf, self.hosts.magnitude[host])
        return Scenes(
            psf=rng.integers(len(self.psfs), size=n),
            place=Departures.draw(n, self._survey.place, rng),
            host=host,
            host_angle=host_angle,
            host_x=np.where(is_galaxy, 0.0, host_x),
            host_y=np.where(is_galaxy, 0.0, host_y),
            host_magnitude=np.where(is_galaxy, galaxy_magnitude, host_magnitude),
            x=_in_a_pixel(n, rng),
            y=_in_a_pixel(n, rng),
            # A survey may cut stamps at whole pixels around each frame's own centroid, as the stars of
            # HiTS are, or after resampling to a common grid, as its supernovae are.
            wander=rng.random(n),
        )

    def render(
        self,
        scenes: Scenes,
        cameras: NDArray[np.void],
        owner: NDArray[np.int64],
        epochs: NDArray[np.void],
        magnitudes: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Take M exposures of n objects, (M, 21, 21) [ADU] with sky.

        Parameters
        ----------
        scenes, cameras
            (n,) objects and the detectors that they fall on.
        owner
            (M,) index of the object in each frame, the frames of an object together and in order of time.
        epochs
            (M,) of EPOCH_DTYPE.
        magnitudes
            (M,) magnitude of the point source [mag], inf for no light.
        rng
            Source of the noise, of the centring and of the exposures' departures from their headers.
        """
        x = _wandering(scenes.x, scenes.wander, owner, rng)
        y = _wandering(scenes.y, scenes.wander, owner, rng)
        departures = self._departures(scenes, owner, epochs["mjd"], rng)
        fwhm = self._survey.fwhm(epochs["seeing"]) * np.exp(departures.fwhm) / cameras["pixscale"][owner]
        sky = epochs["sky"] * self._survey.sky_to_background * np.exp(departures.sky)
        zp = epochs["zp"] + departures.zero_point
        flux = counts(magnitudes, zp, epochs["exptime"])
        host_flux = counts(scenes.host_magnitude[owner], zp, epochs["exptime"])
        psfs = self.psfs.gaussians(
            scenes.psf[owner], fwhm, departures.angle, departures.axis_ratio, departures.wings
        )

        stamps = np.empty((len(owner), STAMP_SIZE, STAMP_SIZE), np.float32)
        for block in _blocks(len(owner)):
            who, camera = owner[block], cameras[owner[block]]
            light = np.zeros((len(who), STAMP_SIZE, STAMP_SIZE), np.float32)
            psf = psfs.select(block)
            lit = np.flatnonzero(flux[block])
            _add(light, lit, psf.select(lit), x[block], y[block], flux[block])

            lit = np.flatnonzero(host_flux[block])
            has = who[lit]
            galaxy = self.hosts.gaussians(scenes.host[has], scenes.host_angle[has], camera["pixscale"][lit])
            host_x, host_y = x[block] + scenes.host_x[who], y[block] + scenes.host_y[who]
            _add(light, lit, psf.select(lit).convolve(galaxy), host_x, host_y, host_flux[block])
            stamps[block] = expose(
                light,
                sky[block],
                camera["gain"],
                camera["rdnoise"],
                camera["saturate"],
                rng,
                self._noise_correlation,
            )
        return stamps

    def _departures(
        self,
        scenes: Scenes,
        owner: NDArray[np.int64],
        mjd: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Departures:
        night = _nights(owner, mjd)
        return (
            scenes.place.select(owner)
            + Departures.draw(int(night[-1]) + 1, self._survey.night, rng).select(night)
            + Departures.draw(len(owner), self._survey.exposure, rng)
        )

    def _choose_hosts(
        self,
        hosted: NDArray[np.bool_],
        redshift: NDArray[np.float64],
        galaxy_magnitude: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        host = np.where(hosted, rng.integers(len(self.hosts), size=len(hosted)), NO_HOST)
        known = hosted & np.isfinite(redshift)
        host[known] = self.hosts.near("redshift", redshift[known], rng)
        is_galaxy = np.isfinite(galaxy_magnitude)
        host[is_galaxy] = self.hosts.near("magnitude", galaxy_magnitude[is_galaxy], rng)
        return host


def counts(magnitude: ArrayLike, zp: ArrayLike, exptime: ArrayLike) -> NDArray[np.float64]:
    """Flux in ADU of a magnitude, 0 for inf (thesis equation 3.1)."""
    return np.asarray(exptime) * 10.0 ** (0.4 * (np.asarray(zp) - np.asarray(magnitude)))


def _add(
    light: NDArray[np.float32],
    lit: NDArray[np.int64],
    sources: Gaussians,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: NDArray[np.float64],
) -> None:
    """Add to the stamps ``lit`` their sources, of unit flux, times their flux."""
    light[lit] += sources.render(x[lit], y[lit]) * flux[lit].astype(np.float32)[:, None, None]


def _wandering(
    usual: NDArray[np.float64],
    wander: NDArray[np.float64],
    owner: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    share = wander[owner]
    return (1.0 - share) * usual[owner] + share * _in_a_pixel(len(owner), rng)


def _in_a_pixel(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(-0.5, 0.5, n)


def _nights(owner: NDArray[np.int64], mjd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the night of each frame, (M,); no two objects share a night."""
    begins = (np.diff(owner) != 0) | (np.abs(np.diff(mjd)) > _DAYTIME)
    return np.concatenate([[0], np.cumsum(begins)])


def _any_angle(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0.0, 2.0 * np.pi, n)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))
