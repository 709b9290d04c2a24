"""Twins: real objects simulated at their own magnitudes, centroids and conditions (thesis Figures 3.7-3.9).

What a twin shares with its object is measured by photometry; the rest - shapes of point spread functions,
hosts, neighbours, noise - is drawn as in any simulation, so that the two differ where the simulation does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astroreel.images.gaussians import FWHM_OF_SIGMA
from astroreel.images.noise import ObjectNoise
from astroreel.images.stamps import Imager
from astroreel.photometry.centroid import centroids
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.survey.camera import CAMERA_DTYPE
from astroreel.survey.survey import Survey

#: Frames with at least this ratio of flux to error tell a centroid, and how much light photometry misses.
_BRIGHT = 20.0

_CONSTANT_CLASS = "non_variable"
_HOSTED_CLASS = "supernova"
_HOST_SHARE = 0.5  # thesis section 3.1.3


def twins(real: SequenceSet, survey: Survey, seed: int) -> SequenceSet:
    """Simulate the twins of real objects, in order, with the same headers and epochs.

    A non-variable star has its median flux in every frame, any other object the flux measured in each. The
    supernova is what exceeds its object's lowest quartile: the rest is its host, of which half the twins
    have one, drawn anew. Where a frame is too faint for a centroid, the source is where it usually is.

    Parameters
    ----------
    real
        Labelled objects.
    survey
        What they were observed by.
    seed
        Of all that is drawn.
    """
    preparation = Preparation(reference_zp=survey.reference_zp, reference_exptime=survey.exptime)
    curves = photometry(real, preparation)
    bright = curves.flux > _BRIGHT * curves.error
    x, y = _centres(real, survey, bright)
    flux = _source_flux(real, curves.flux)
    first = _render(real, flux, x, y, survey, seed)
    # The profile of photometry is narrower than stars are: what it misses is made up for.
    missed = flux[bright] / photometry(first, preparation).flux[bright]
    return _render(real, flux * np.median(missed), x, y, survey, seed) if bright.any() else first


def _render(
    real: SequenceSet,
    flux: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    survey: Survey,
    seed: int,
) -> SequenceSet:
    scene_seed, *noise_seeds = np.random.SeedSequence(seed).spawn(len(real) + 1)
    rng = np.random.default_rng(scene_seed)
    imager = Imager(survey, "test")
    cameras = real.objects[list(CAMERA_DTYPE.names or ())].astype(CAMERA_DTYPE)
    unknown = np.full(len(real), np.nan)
    hosted = (real.labels == _HOSTED_CLASS) & (rng.random(len(real)) < _HOST_SHARE)
    scenes = imager.compose(cameras, hosted, unknown, unknown, rng)
    with np.errstate(divide="ignore"):
        magnitude = survey.reference_zp - 2.5 * np.log10(np.maximum(flux, 0.0) / survey.exptime)
    frames = imager.observe(scenes, cameras, real.owner, real.epochs, magnitude, rng)
    frames = replace(
        frames, x=x, y=y, host_x=frames.host_x - frames.x + x, host_y=frames.host_y - frames.y + y
    )
    noise = ObjectNoise([np.random.default_rng(child) for child in noise_seeds], real.owner)
    return replace(real, stamps=imager.render(frames, noise), truth=None)


def _source_flux(real: SequenceSet, flux: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flux of the point source in each frame [ADU at the reference], (M,)."""
    labels = real.labels[real.owner]
    median, quartile = (
        np.array([np.nanpercentile(part, q) for part in np.split(flux, real.offsets[1:-1])])[real.owner]
        for q in (50.0, 25.0)
    )
    return np.select(
        [labels == _CONSTANT_CLASS, labels == _HOSTED_CLASS], [median, flux - quartile], np.nan_to_num(flux)
    )


def _centres(
    real: SequenceSet, survey: Survey, bright: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sigma = survey.fwhm(real.epochs["seeing"]) / real.objects["pixscale"][real.owner] / FWHM_OF_SIGMA
    level = survey.sky_to_background * real.epochs["sky"].astype(np.float32)
    measured = centroids(real.stamps - level[:, None, None], sigma)
    return tuple(_usual_where_faint(place, bright, real.offsets) for place in measured)  # type: ignore[return-value]


def _usual_where_faint(
    place: NDArray[np.float64], bright: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    usual = [
        np.median(part[good]) if good.any() else 0.0
        for part, good in zip(np.split(place, offsets[1:-1]), np.split(bright, offsets[1:-1]), strict=True)
    ]
    return np.where(bright, place, np.repeat(usual, np.diff(offsets)))
