"""Other objects in the frames of real supernovae: semi-real sequences in which brightness tells nothing.

Real frames without an object are not to be had at the places, in the conditions and with the texture of the
supernovae: a stamp of 21 pixels holds little but its object, and what a fit leaves of a star a hundred times
brighter outshines a faint source. So a supernova's own frames are kept, and in each the light of a point at
the centre is changed by as much as another object would differ from what was measured there:

    frame + (wanted - measured + noise) * profile

``measured`` holds what noise and the centre of the host have added, and ``noise``, as large as the error of
the measurement, gives back what is taken away with it. Neighbours, texture, seeing, sky, gaps and length stay
as they are, alike in all classes. So does the host, if it is kept: a constant star is then the host without
its supernova, and a variable one varies in front of it, so that nothing but the light curve tells. If it is
not, what the mean of the frames holds beside the point is taken away, smoothed, lest their noise go with it:
a star is then a star as other stars are, and a supernova may be told by its host. What remains of the
supernova is where the profile is not quite the frame's own, a few per cent of the change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from astroreel.images.stamps import Imager
from astroreel.lightcurves.base import LightCurveSample
from astroreel.lightcurves.magnitudes import MagnitudeDistribution
from astroreel.lightcurves.registry import light_curve_model
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation, zero_point_factor
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.rim import RIM
from astroreel.survey.artefacts import Artefacts
from astroreel.survey.camera import CAMERA_DTYPE
from astroreel.survey.survey import Survey

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Ratio of flux to error, in the median of an object's frames, of what is seen to be there, and that above
#: which an error of a per cent in the profile would show.
FAINT = (3.0, 100.0)

#: Simulated supernovae among which one that is detected in the same frame as the real one is looked for.
_CANDIDATES = 64

#: Significance at which a simulated supernova is detected, as `photometry.detection` has it.
_N_SIGMA = 5.0

#: Flux of the stamps that are scaled to unit flux [ADU]: what photometry weighs as faint sources, which it
#: measures otherwise than bright ones.
_UNIT = 1e3

#: Standard deviation that the light beside a point is smoothed with [pixel].
_SMOOTHING = 1.0


def faint(curves: LightCurves) -> NDArray[np.bool_]:
    """Which objects are measured in all frames and are seen, but not brightly, in most of them, (N,)."""
    ratio = curves.padded(curves.flux / curves.error)
    measured = np.isfinite(ratio).sum(axis=1) == curves.lengths
    median = np.nan_to_num(np.nanmedian(ratio, axis=1))
    return measured & (median >= FAINT[0]) & (median <= FAINT[1])


def inject(
    supernovae: SequenceSet,
    detections: Ints,
    label: str,
    keep_host: bool,
    survey: Survey,
    preparation: Preparation,
    rng: np.random.Generator,
) -> SequenceSet:
    """The same frames with an object of class ``label`` in each, instead of the supernova.

    Its median flux is that of the supernova with its host. An asteroid crosses a constant source of that flux
    in the frame in which the supernova was first detected, as bright as that then was. A supernova, simulated
    to be first detected in that frame too, rises over the real one's quiet level; it is there to see whether
    real and injected objects can be told apart.

    Parameters
    ----------
    supernovae
        N real objects that are `faint`.
    detections
        (N,) frame in which each was first detected.
    label
        Class of an object that is a point in each frame.
    keep_host
        Whether what surrounds the supernova stays.
    survey, preparation
        What the real ones were observed by, and how they are measured.
    rng
        Source of all randomness.

    Raises
    ------
    UserError
        Where there is no such class.
    """
    curves = photometry(supernovae, preparation)
    light = _LIGHT.get(label, _variable)(_Frames(curves, supernovae, detections, survey, rng), label)
    point, trail = _profiles(supernovae, light, survey, preparation, rng)
    beside = _beside(supernovae, curves.flux[:, None, None] * point, preparation)
    beside *= not keep_host
    change = light.steady - (curves.flux - _measured(beside, supernovae, preparation))
    noise = curves.error * rng.standard_normal(len(curves.mjd))
    passing = light.passing[:, None, None] * trail
    gained = np.maximum(change, 0.0)[:, None, None] * point + passing
    stamps = supernovae.stamps[:] - beside + (change + noise)[:, None, None] * point + passing
    stamps += _photon_noise(gained, supernovae.objects["gain"][supernovae.owner], rng)
    objects = supernovae.objects.copy()
    objects["label"], objects["label_source"] = label, "injected into real frames"
    objects["name"] = [f"{name}-as-{label}" for name in objects["name"]]
    return replace(supernovae, objects=objects, stamps=stamps.astype(np.float32), truth=None)


@dataclass(frozen=True)
class _Frames:
    """The frames of N real supernovae, and what is measured in them."""

    curves: LightCurves
    sequences: SequenceSet
    detections: Ints
    survey: Survey
    rng: np.random.Generator

    @property
    def table(self) -> Floats:
        """Fluxes (N, T), NaN beyond the end."""
        return self.curves.padded(self.curves.flux)

    def flat(self, table: Floats) -> Floats:
        """A table (N, T) as one number a frame, (M,)."""
        return table[self.curves.owner, self.curves.position]

    def at_detection(self) -> NDArray[np.bool_]:
        """Where the supernova is first detected, (N, T)."""
        return np.arange(self.table.shape[1]) == self.detections[:, None]

    def sample(self, label: str, mask: NDArray[np.bool_], copies: int = 1) -> LightCurveSample:
        """Simulated light curves at the times of the frames, ``copies`` of each object's after another."""
        curves, epochs, survey = self.curves, self.sequences.epochs, self.survey
        last = np.maximum.accumulate(np.nan_to_num(curves.padded(epochs["mjd"])), axis=1)
        error = curves.padded(curves.error, fill=np.inf)
        with np.errstate(divide="ignore"):
            limits = survey.reference_zp - 2.5 * np.log10(_N_SIGMA * error / survey.exptime)
        model = light_curve_model(label, MagnitudeDistribution(*survey.magnitude_limits))
        last, mask, limits = (np.repeat(one, copies, axis=0) for one in (last, mask, limits))
        return model.sample(last, mask, limits, survey.band, "test", self.rng)


@dataclass(frozen=True)
class _Light:
    """What is wanted: light at rest (M,) and of what moves (M,) [ADU at the reference], and how it moves."""

    steady: Floats
    passing: Floats
    motion: Floats
    motion_angle: Floats


def _at_rest(steady: Floats, objects: int) -> _Light:
    return _Light(steady, np.zeros(len(steady)), np.zeros(objects), np.zeros(objects))


def _variable(frames: _Frames, label: str) -> _Light:
    """An object that is always there: the shape of its light curve, at the median flux of the supernova."""
    table = frames.table
    seen = np.isfinite(table)
    magnitude = np.where(seen, frames.sample(label, seen).magnitudes, np.nan)
    shape = 10.0 ** (-0.4 * (magnitude - np.nanmedian(magnitude, axis=1, keepdims=True)))
    shape /= np.nanmedian(shape, axis=1, keepdims=True)
    steady = shape * np.nanmedian(table, axis=1, keepdims=True)
    return _at_rest(frames.flat(steady), len(table))


def _asteroid(frames: _Frames, label: str) -> _Light:
    table, detected = frames.table, frames.at_detection()
    median, quiet = (np.nanpercentile(table, q, axis=1, keepdims=True) for q in (50.0, 25.0))
    least = _N_SIGMA * frames.curves.padded(frames.curves.error)
    passing = np.where(detected, np.maximum(table - quiet, least), 0.0)
    moving = frames.sample(label, detected)
    steady = np.broadcast_to(median, table.shape)
    return _Light(frames.flat(steady), frames.flat(passing), moving.motion, moving.motion_angle)


def _supernova(frames: _Frames, label: str) -> _Light:
    table = frames.table
    sample = frames.sample(label, np.isfinite(table), _CANDIDATES)
    alerts = sample.alert.reshape(len(table), _CANDIDATES)
    nearest = np.abs(alerts - frames.detections[:, None]).argmin(axis=1)
    magnitude = sample.magnitudes.reshape(len(table), _CANDIDATES, -1)[np.arange(len(table)), nearest]
    survey = frames.survey
    light = survey.exptime * 10.0 ** (0.4 * (survey.reference_zp - magnitude))
    return _at_rest(frames.flat(np.nanpercentile(table, 25.0, axis=1, keepdims=True) + light), len(table))


_LIGHT: dict[str, Callable[[_Frames, str], _Light]] = {"asteroid": _asteroid, "supernova": _supernova}


def _profiles(
    sequences: SequenceSet, light: _Light, survey: Survey, preparation: Preparation, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """What a point at rest and one that moves shed on each frame, (M, 21, 21) each [ADU of the frame].

    As wide as each header says, by the survey's own relation, and departing from it as the survey's stars do;
    scaled such that photometry measures 1 ADU at the reference for the one at rest.
    """
    imager = Imager(survey.model_copy(update={"artefacts": Artefacts()}), "test")
    cameras = sequences.objects[list(CAMERA_DTYPE.names or ())].astype(CAMERA_DTYPE)
    owner, nothing = sequences.owner, np.full(len(sequences), np.nan)
    hostless = np.zeros(len(sequences), bool)
    scenes = imager.compose(cameras, hostless, nothing, nothing, rng, light.motion, light.motion_angle)
    centred = replace(scenes, x=np.zeros(len(scenes)), y=np.zeros(len(scenes)), wander=np.zeros(len(scenes)))
    dark = np.full(len(owner), np.inf)
    frames = imager.observe(centred, cameras, owner, sequences.epochs, dark, rng)
    frames = replace(frames, flux=np.full(len(owner), _UNIT))
    resting = replace(frames, trail=np.zeros(len(owner)))
    point, trail = (imager.light(one).double().numpy() for one in (resting, frames))
    unit = _measured(point, sequences, preparation)[:, None, None]
    return point / unit, trail / unit


def _measured(light: Floats, sequences: SequenceSet, preparation: Preparation) -> Floats:
    """What photometry finds of ``light`` (M, 21, 21) alone in the frames, (M,) [ADU at the reference]."""
    stamps = light + sequences.epochs["sky"][:, None, None]
    return photometry(replace(sequences, stamps=stamps.astype(np.float32)), preparation).flux


def _beside(sequences: SequenceSet, points: Floats, preparation: Preparation) -> Floats:
    """Light that is in all frames of an object beside that of ``points``, (M, 21, 21) [ADU of the frame]."""
    gamma = zero_point_factor(sequences, preparation)[:, None, None]
    beside = (sequences.stamps[:] - sequences.epochs["sky"][:, None, None] - points) * gamma
    means = np.stack([np.nanmean(part, axis=0) for part in np.split(beside, sequences.offsets[1:-1])])
    smooth = gaussian_filter(np.nan_to_num(means), (0.0, _SMOOTHING, _SMOOTHING), mode="nearest")
    level = np.median(smooth[:, RIM], axis=1)[:, None, None]
    return (smooth - level)[sequences.owner] / gamma


def _photon_noise(light: Floats, gain: Floats, rng: np.random.Generator) -> Floats:
    """What the number of photons of ``light`` (M, 21, 21) [ADU] scatters by."""
    electrons = np.maximum(light, 0.0) * gain[:, None, None]
    return (rng.poisson(electrons) - electrons) / gain[:, None, None]
