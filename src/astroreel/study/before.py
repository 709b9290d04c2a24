"""What is told of supernovae before their first detection, when no light curve can have told it.

A model that knows them there knows them by how bright they are, by what surrounds them, or by light that is
too faint for a detection in any one frame. How far it is that, and nothing else: against objects as bright in
as many frames; and, where the simulation tells who has a host, supernovae without one against asteroids
without one that are yet to come, so that both leave an empty sky but for such light. ``light_alone`` is how
far the flux alone goes: how faint the median is, and for these the ratio of summed flux to its error.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import N_SAMPLES
from astroreel.evaluation.tested import Tested
from astroreel.sequences.split import TRANSIENT
from astroreel.study.leaves import tree_of
from astroreel.study.probe import Answers
from astroreel.study.resampled import auc, log_ratio, mean, resample

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

#: Largest difference of `brightness` between objects that are as bright: a quarter of a magnitude.
_AS_BRIGHT = 0.25

_FEWEST = 10
_ASTEROID = "asteroid"
_EMPTY = "auc_against_asteroids_without_host"
_SUPERNOVA = CLASSES.index(TRANSIENT)


def before_detection(
    objects: Tested, answers: Answers, resampling: Resampling, rng: np.random.Generator
) -> dict[str, Any]:
    """Both models on supernovae in the frames before their detection, and on all others in as many.

    Parameters
    ----------
    objects
        N objects.
    answers
        What is said of them, at the stages that there are.
    resampling
        Their resamples.
    rng
        Gives each of the others the number of frames of one of the supernovae.
    """
    which, frames = _frames(objects, rng)
    supernova = objects.features.labels[which] == _SUPERNOVA
    if np.sum(supernova) < _FEWEST:
        return {}
    bright = _brightness(objects.select(which), frames)
    peers, empty = _as_bright(bright, supernova), _without_host(objects, which, frames)
    found = {"light_alone/auc": resample(auc(supernova), -bright[None], resampling, which).share()}
    if len(empty):
        light = _summed(objects.select(which[empty]), frames[empty])
        parted = auc(supernova[empty])
        found[f"light_alone/{_EMPTY}"] = resample(parted, light[None], resampling, which[empty]).share()
    for (model, stage), probabilities in answers.items():
        said = probabilities[:, which, frames - 1]
        told = _told(said, which, supernova, resampling)
        if len(peers):
            beaten = _beaten(said[..., _SUPERNOVA], peers)
            told["auc_at_same_brightness"] = resample(mean, beaten, resampling, which[peers[:, 0]]).share()
        if len(empty):
            told[_EMPTY] = resample(parted, said[:, empty, _SUPERNOVA], resampling, which[empty]).share()
        found |= {f"{stage}/{model}/{name}": estimate for name, estimate in told.items()}
    return tree_of(found)


def _frames(objects: Tested, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Objects (K,) and how many of the first frames of each are looked at (K,), at least one."""
    supernova = objects.features.labels == _SUPERNOVA
    own = objects.detections[supernova]
    lent = own[own >= 1]
    frames = np.where(supernova, objects.detections, rng.choice(lent, len(objects)) if len(lent) else 0)
    frames = np.minimum(frames, np.minimum(objects.sequences.lengths, N_SAMPLES))
    which = np.flatnonzero(frames >= 1)
    return which, frames[which]


def _brightness(objects: Tested, frames: Ints) -> Floats:
    """Inverse hyperbolic sine of the median flux of the first ``frames`` of each object, (K,)."""
    curves = objects.features.curves.first(frames)
    flux = curves.padded(curves.flux)
    flux[np.isnan(flux).all(axis=1), :1] = 0.0
    return np.arcsinh(np.nanmedian(flux, axis=1) / 100.0)


def _summed(objects: Tested, frames: Ints) -> Floats:
    """Ratio of the weighted sum of the first ``frames`` fluxes of each object to its error, (K,)."""
    curves = objects.features.curves.first(frames)
    flux, error = curves.padded(curves.flux), curves.padded(curves.error, fill=np.inf)
    return np.nansum(flux / error**2, axis=1) / np.sqrt(np.sum(error**-2.0, axis=1))


def _told(
    said: Floats, which: Ints, supernova: NDArray[np.bool_], resampling: Resampling
) -> dict[str, Estimate]:
    """How often supernovae and others (K,) are called supernovae, from probabilities (D, K, 7)."""
    called = said.argmax(axis=-1) == _SUPERNOVA
    ratio = resample(log_ratio(supernova), called, resampling, which).estimate()
    return {
        "supernovae_called_so": _share(called, supernova, which, resampling),
        "others_called_so": _share(called, ~supernova, which, resampling),
        "likelihood_ratio": Estimate(exp(ratio.value), exp(ratio.low), exp(ratio.high), ratio.n),
        "auc": resample(auc(supernova), said[..., _SUPERNOVA], resampling, which).share(),
    }


def _share(
    called: NDArray[np.bool_], kind: NDArray[np.bool_], which: Ints, resampling: Resampling
) -> Estimate:
    return resample(mean, called[:, kind], resampling, which[kind]).share()


def _as_bright(brightness: Floats, supernova: NDArray[np.bool_]) -> Ints:
    """Each supernova that has one with the other object nearest in brightness, (P, 2); none if too few."""
    own, other = np.flatnonzero(supernova), np.flatnonzero(~supernova)
    away = np.abs(brightness[own][:, None] - brightness[other])
    nearest = away.argmin(axis=1)
    close = away[np.arange(len(own)), nearest] <= _AS_BRIGHT
    pairs = np.stack([own[close], other[nearest[close]]], axis=1)
    return pairs if len(pairs) >= _FEWEST else np.empty((0, 2), np.int64)


def _beaten(scores: Floats, pairs: Ints) -> Floats:
    """Whether the first of each pair scores higher, a tie being half, (D, P)."""
    first, second = scores[:, pairs[:, 0]], scores[:, pairs[:, 1]]
    return (first > second) + 0.5 * (first == second)


def _without_host(objects: Tested, which: Ints, frames: Ints) -> Ints:
    """Places in ``which`` of supernovae and asteroids without a host, yet to come, where that is known."""
    truth = objects.sequences.truth
    if truth is None:
        return np.empty(0, np.int64)
    labels = objects.sequences.labels[which]
    lone = np.isin(labels, (TRANSIENT, _ASTEROID)) & (truth["host"][which] == "")
    return np.flatnonzero(lone & (truth["alert"][which] >= frames))
