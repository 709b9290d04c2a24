"""Stamps: a source, its host, the sky and the detector put together (thesis section 3.1.3).

What is drawn and what is computed are apart: `Imager.compose` and `Imager.observe` draw everything about
objects and frames but the noise of their pixels; `Imager.render` computes the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from astroreel.images.artefacts import draw
from astroreel.images.crowd import Crowd
from astroreel.images.departures import Departures
from astroreel.images.detector import collect, read_out
from astroreel.images.frames import NEIGHBOUR_DTYPE, Frames
from astroreel.images.galaxy import HostLibrary
from astroreel.images.gaussians import blocks
from astroreel.images.light import light_of
from astroreel.images.noise import NoiseSource
from astroreel.images.profiles import Family
from astroreel.images.psf import PsfLibrary
from astroreel.lightcurves.partition import Split
from astroreel.survey.survey import Survey

#: `Scenes.host` of an object that has none.
NO_HOST = -1

#: Time between two exposures that a day must lie in [d].
_DAYTIME = 0.4


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
    motion
        How fast it moves over the sky [arcsec/h]: what a frame shows is a trail about its position.
    motion_angle
        Where it moves to, from x towards y [rad].
    crowd
        What lies beside the objects.
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
    motion: NDArray[np.float64]
    motion_angle: NDArray[np.float64]
    crowd: Crowd

    def __len__(self) -> int:
        return len(self.psf)

    @property
    def hosted(self) -> NDArray[np.bool_]:
        """Which objects have a galaxy, (n,)."""
        return self.host != NO_HOST


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
    """

    def __init__(self, survey: Survey, split: Split, psf_family: Family = "atmospheric") -> None:
        self.psfs = PsfLibrary(psf_family, split)
        self.hosts = HostLibrary(split, min(camera.pixscale for camera in survey.cameras))
        self._survey = survey

    def compose(
        self,
        cameras: NDArray[np.void],
        hosted: NDArray[np.bool_],
        redshift: NDArray[np.float64],
        galaxy_magnitude: NDArray[np.float64],
        rng: np.random.Generator,
        motion: ArrayLike = 0.0,
        motion_angle: ArrayLike = 0.0,
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
        motion, motion_angle
            (n,) see :class:`Scenes`.
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
            motion=np.broadcast_to(np.asarray(motion, float), n),
            motion_angle=np.broadcast_to(np.asarray(motion_angle, float), n),
            crowd=Crowd.draw(self._survey.artefacts.neighbours, cameras, rng),
        )

    def observe(
        self,
        scenes: Scenes,
        cameras: NDArray[np.void],
        owner: NDArray[np.int64],
        epochs: NDArray[np.void],
        magnitudes: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Frames:
        """Draw M exposures of n objects, all but the noise of their pixels.

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
            Source of the centring and of the exposures' departures from their headers.
        """
        camera = cameras[owner]
        x = _wandering(scenes.x, scenes.wander, owner, rng)
        y = _wandering(scenes.y, scenes.wander, owner, rng)
        departures = self._departures(scenes, owner, epochs["mjd"], rng)
        coma_x, coma_y = self._survey.coma
        zp = epochs["zp"] + departures.zero_point
        return Frames(
            owner=owner,
            psf=scenes.psf[owner],
            fwhm=self._survey.fwhm(epochs["seeing"]) * np.exp(departures.fwhm) / camera["pixscale"],
            angle=departures.angle,
            axis_ratio=departures.axis_ratio,
            wings=departures.wings,
            coma_x=(coma_x + departures.coma_x) / camera["pixscale"],
            coma_y=(coma_y + departures.coma_y) / camera["pixscale"],
            twist_1=departures.twist_1,
            twist_2=departures.twist_2,
            x=x,
            y=y,
            flux=counts(magnitudes, zp, epochs["exptime"]),
            trail=scenes.motion[owner] / 3600.0 * epochs["exptime"] / camera["pixscale"],
            trail_angle=scenes.motion_angle[owner],
            host=scenes.host[owner],
            host_angle=scenes.host_angle[owner],
            host_x=x + scenes.host_x[owner],
            host_y=y + scenes.host_y[owner],
            host_flux=counts(scenes.host_magnitude[owner], zp, epochs["exptime"]),
            sky=epochs["sky"] * self._survey.sky_to_background * np.exp(departures.sky),
            pixscale=camera["pixscale"],
            gain=camera["gain"],
            rdnoise=camera["rdnoise"],
            saturate=camera["saturate"],
            neighbours=_neighbours(scenes.crowd, owner, zp, epochs["exptime"]),
            blemishes=draw(self._survey.artefacts, owner, epochs, cameras, rng),
        )

    def render(self, frames: Frames, noise: NoiseSource, device: str = "cpu") -> NDArray[np.float32]:
        """The stamps of M frames, (M, 21, 21), whole numbers [ADU] with sky; bad pixels NaN.

        Parameters
        ----------
        frames
            What is seen.
        noise
            Source of the noise, its numbers on ``device``.
        device
            Where the pixels are computed.
        """
        light = self.light(frames, device)
        stamps = np.empty(light.shape, np.float32)
        for block in blocks(len(frames), device):
            sky, gain, rdnoise, saturate = (
                torch.as_tensor(column[block], dtype=torch.float32, device=device)[:, None, None]
                for column in (frames.sky, frames.gain, frames.rdnoise, frames.saturate)
            )
            blemishes = frames.blemishes.select(block)
            expected = (blemishes.illuminate(light[block]) + sky).clamp_(min=0.0).mul_(gain)
            electrons = blemishes.strike(collect(expected, rdnoise, noise, block), expected)
            stamps[block] = read_out(electrons, gain, saturate).cpu().numpy()
        return stamps

    def light(self, frames: Frames, device: str = "cpu") -> Tensor:
        """What the sources of M frames shed on their pixels, without sky, (M, 21, 21) [ADU]."""
        return light_of(frames, self.psfs, self.hosts, device)

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


def _neighbours(
    crowd: Crowd, owner: NDArray[np.int64], zp: NDArray[np.float64], exptime: NDArray[np.float64]
) -> NDArray[np.void]:
    which, frame = crowd.frames(owner)
    neighbours = np.zeros(len(which), NEIGHBOUR_DTYPE)
    neighbours["frame"] = frame
    neighbours["flux"] = counts(crowd.magnitude[which], zp[frame], exptime[frame])
    for name in ("x", "y", "sigma"):
        neighbours[name] = getattr(crowd, name)[which]
    return neighbours


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
