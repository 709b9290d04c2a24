"""Light curves from difference images (thesis 2.1.5): what changed since the sharpest frame so far.

What does not vary cancels, above all a host galaxy, whose light in a point source's profile follows the
seeing. The reference is the frame of the best seeing among those seen so far, so that nothing depends on
what comes later, and only the reference has to be blurred. That is by a Gaussian, whose width is known from
the two seeings; and as the flux is a sum over pixels weighed by the profile, blurring the profile instead
comes to the same, and no image is ever blurred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.photometry.curves import LightCurves
from astroreel.photometry.exposures import Exposures, product
from astroreel.photometry.features import feature_names, features
from astroreel.photometry.optimal import gaussian_profile
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_OBJECTS = 256
_CHUNK = 2048


def difference_features(sequences: SequenceSet, preparation: Preparation, epochs: int) -> NDArray[np.float32]:
    """Light-curve features of the difference fluxes of the first n frames, n = 1 .. ``epochs``.

    (N, epochs, F), those of the whole sequence where it is shorter than n. Columns as `feature_names`.
    """
    table = np.empty((len(sequences), epochs, len(feature_names())), np.float32)
    for start in range(0, len(sequences), _OBJECTS):
        part = sequences.select(np.arange(start, min(start + _OBJECTS, len(sequences)))).window(0, epochs)
        values = features(difference_curves(part, preparation))
        count = np.minimum(np.arange(epochs)[None], part.lengths[:, None] - 1)
        table[start : start + len(part)] = values[part.offsets[:-1, None] + count]
    return table


def difference_curves(sequences: SequenceSet, preparation: Preparation) -> LightCurves:
    """A light curve for each of the M frames: that of its object, up to it, as known by then.

    Frames with many bad pixels have flux NaN and an infinite error.
    """
    exposures = Exposures.of(sequences, preparation)
    reference = _sharpest_so_far(sequences, np.where(exposures.usable, exposures.sigma, np.inf))
    count = sequences.position + 1
    offsets = np.concatenate([[0], np.cumsum(count)])
    first = sequences.offsets[:-1][sequences.owner]
    frame = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], count)
    against = np.repeat(reference, count)
    # A reference serves for a while: most differences occur in several of the curves.
    pair, place = np.unique(frame * len(count) + against, return_inverse=True)
    flux, error = np.empty(len(pair)), np.empty(len(pair))
    for start in range(0, len(pair), _CHUNK):
        part = slice(start, start + _CHUNK)
        flux[part], error[part] = _differences(exposures, *np.divmod(pair[part], len(count)))
    return LightCurves(offsets, sequences.epochs["mjd"][frame], flux[place], error[place])


def _differences(exposures: Exposures, frame: Ints, reference: Ints) -> tuple[Floats, Floats]:
    """Fluxes at the reference zero point, and their errors, of frames less their references, (P,) each."""
    sigma, sharp = exposures.sigma[frame], np.minimum(exposures.sigma[reference], exposures.sigma[frame])
    profile, wide = gaussian_profile(sigma), gaussian_profile(np.sqrt(2 * sigma**2 - sharp**2))
    # Weights of sum 0 fit a level too: that of a border would not be the same in both, for a host's wings.
    norm = product(_centred(profile), profile)
    total, variance = np.zeros(len(frame)), np.zeros(len(frame))
    for sign, which, weight in ((1.0, frame, _centred(profile)), (-1.0, reference, _centred(wide))):
        scale = exposures.gamma[which] / norm
        light = product(weight, exposures.light[which])
        photons = np.maximum(light, 0.0) * product(weight**2, profile) / (norm * exposures.gain[which])
        total += sign * scale * light
        variance += scale**2 * (exposures.background[which] * product(weight, weight) + photons)
    good = exposures.usable[frame] & exposures.usable[reference]
    return np.where(good, total, np.nan), np.where(good, np.sqrt(variance), np.inf)


def _centred(weights: Floats) -> Floats:
    return weights - weights.mean(axis=(1, 2), keepdims=True)


def _sharpest_so_far(sequences: SequenceSet, width: Floats) -> Ints:
    """The frame of least width among an object's frames up to each one, (M,)."""
    owner, position = sequences.owner, sequences.position
    table = np.full((len(sequences), int(max(sequences.lengths, default=0))), np.inf)
    table[owner, position] = width
    least = np.minimum.accumulate(table, axis=1)
    sharper = np.concatenate([np.ones((len(table), 1), bool), table[:, 1:] < least[:, :-1]], axis=1)
    place = np.maximum.accumulate(np.where(sharper, np.arange(table.shape[1]), 0), axis=1)
    return sequences.offsets[:-1][owner] + place[owner, position]
