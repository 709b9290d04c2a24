"""Spikes: charge on single pixels that no light has made, from cosmic rays and hot pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.images.gaussians import STAMP_SIZE
from astroreel.survey.artefacts import Artefacts

#: Charge on a pixel of a frame.
SPIKE_DTYPE = np.dtype([("frame", "i8"), ("y", "i8"), ("x", "i8"), ("electrons", "f4")])

#: Pieces that a track is laid down in, and its greatest length [pixel]: fine enough to skip no pixel.
_PIECES = 64
_LONGEST = 32.0

_TRACK_SCATTER = 0.5
_HOT_SCATTER = 1.0


def cosmic_rays(artefacts: Artefacts, m: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Tracks in m frames, (K,) of :data:`SPIKE_DTYPE`.

    Muons arrive with an intensity of cos^2 of their angle to the vertical (Particle Data Group, review of
    cosmic rays), so that cos^4 of the angle of those that cross a level detector is uniform. The part of a
    track beyond the stamp is left out.
    """
    if not artefacts.cosmic_rays:
        return np.empty(0, SPIKE_DTYPE)
    k = rng.poisson(artefacts.cosmic_rays * m)
    cosine = rng.random(k) ** 0.25
    slant = np.minimum(artefacts.cosmic_ray_depth * np.sqrt(1.0 - cosine**2) / cosine, _LONGEST)
    way = np.linspace(0.0, 1.0, _PIECES) * slant[:, None]
    direction = rng.uniform(0.0, 2.0 * np.pi, k)[:, None]
    start_x, start_y = rng.uniform(0.0, STAMP_SIZE, (2, k, 1))
    charge = artefacts.cosmic_ray_charge * rng.lognormal(0.0, _TRACK_SCATTER, k) / cosine
    pieces = np.zeros((k, _PIECES), SPIKE_DTYPE)
    pieces["frame"] = rng.integers(m, size=k)[:, None]
    pieces["x"] = np.floor(start_x + way * np.cos(direction))
    pieces["y"] = np.floor(start_y + way * np.sin(direction))
    pieces["electrons"] = charge[:, None] / _PIECES
    return pieces[_inside(pieces["x"]) & _inside(pieces["y"])]


def hot_pixels(artefacts: Artefacts, m: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Hot pixels in m frames, (K,) of :data:`SPIKE_DTYPE`."""
    if not artefacts.hot_pixels:
        return np.empty(0, SPIKE_DTYPE)
    spikes = np.zeros(rng.poisson(artefacts.hot_pixels * m), SPIKE_DTYPE)
    spikes["frame"] = rng.integers(m, size=len(spikes))
    spikes["y"], spikes["x"] = rng.integers(STAMP_SIZE, size=(2, len(spikes)))
    spikes["electrons"] = artefacts.hot_pixel_charge * rng.lognormal(0.0, _HOT_SCATTER, len(spikes))
    return spikes


def _inside(pixel: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (pixel >= 0) & (pixel < STAMP_SIZE)
