"""Artefacts: what frames show that is neither a source nor the sky nor noise.

Few frames have any, so that all but the sky's slope are lists of what befalls which frame. What adds light
comes before the noise of the pixels, what happens to the charge after it. Neighbours are sources: see
`images.crowd`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astroreel.images.bleeding import bleed
from astroreel.images.gaussians import FWHM_OF_SIGMA, STAMP_SIZE
from astroreel.images.resampling import resample
from astroreel.images.spikes import cosmic_rays, hot_pixels
from astroreel.survey.artefacts import Artefacts

_TRAIL_DTYPE = np.dtype(
    [("frame", "i8"), ("distance", "f4"), ("angle", "f4"), ("sigma", "f4"), ("brightness", "f4")]
)
_COLUMN_DTYPE = np.dtype([("frame", "i8"), ("x", "i8")])
_SHIFT_DTYPE = np.dtype([("frame", "i8"), ("x", "f4"), ("y", "f4")])

#: Trails pass the centre of a stamp at no more than this [pixel]; its corners lie 14.1 off.
_REACH = 14.0


@dataclass(frozen=True)
class Blemishes:
    """What befalls M frames; lists are structured arrays sorted by their column ``frame``.

    Attributes
    ----------
    effects
        The rates and sizes that it was drawn with.
    well
        (M,) charge that a pixel holds [e-].
    slope
        (M, 2) slope of the sky along x and y [ADU/pixel].
    trails
        Satellites: distance from the centre [pixel], angle of the normal to the trail [rad], width [pixel],
        brightness [ADU per pixel of length].
    spikes
        Charge that falls on single pixels: y, x, electrons.
    columns
        Columns without data: x.
    shifts
        Fractions of a pixel, along x and y, that resampled frames were shifted by.
    """

    effects: Artefacts
    well: NDArray[np.float64]
    slope: NDArray[np.float64]
    trails: NDArray[np.void]
    spikes: NDArray[np.void]
    columns: NDArray[np.void]
    shifts: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.well)

    def select(self, frames: slice) -> Blemishes:
        """What befalls the frames of a slice without a step."""
        start, stop, _ = frames.indices(len(self))

        def within(rows: NDArray[np.void]) -> NDArray[np.void]:
            part = rows[slice(*np.searchsorted(rows["frame"], (start, stop)))].copy()
            part["frame"] -= start
            return part

        return replace(
            self,
            well=self.well[frames],
            slope=self.slope[frames],
            trails=within(self.trails),
            spikes=within(self.spikes),
            columns=within(self.columns),
            shifts=within(self.shifts),
        )

    def illuminate(self, light: Tensor) -> Tensor:
        """Add the light of the sky's slope and of satellites to (M, 21, 21) [ADU], in place."""
        grid = torch.arange(STAMP_SIZE, dtype=light.dtype, device=light.device) - STAMP_SIZE // 2
        if self.effects.gradient:
            along_x, along_y = (_like(light, column)[:, None] * grid for column in self.slope.T)
            light += along_x[:, None, :] + along_y[:, :, None]
        if len(self.trails):
            trail = {name: _like(light, self.trails[name])[:, None, None] for name in _names(self.trails)}
            off = grid * torch.cos(trail["angle"]) + grid[:, None] * torch.sin(trail["angle"])
            profile = torch.exp(-0.5 * ((off - trail["distance"]) / trail["sigma"]) ** 2)
            peak = trail["brightness"] / (np.sqrt(2.0 * np.pi) * trail["sigma"])
            light.index_add_(0, _index(light, self.trails["frame"]), peak * profile)
        return light

    def strike(self, electrons: Tensor, expected: Tensor) -> Tensor:
        """What the charge (M, 21, 21) [e-] becomes until it is read; columns without data are NaN.

        Parameters
        ----------
        electrons
            Charge collected, with sky and read noise; overwritten.
        expected
            What it would be without noise: only the rest is resampled.
        """
        if len(self.spikes):
            places = tuple(_index(electrons, self.spikes[name]) for name in ("frame", "y", "x"))
            electrons.index_put_(places, _like(electrons, self.spikes["electrons"]), accumulate=True)
        if self.effects.bleeding:
            well = _like(electrons, self.well)
            full = torch.nonzero((electrons > well[:, None, None]).any(dim=2).any(dim=1)).ravel()
            if len(full):
                electrons[full] = bleed(electrons[full], well[full], self.effects.bleeding)
        if len(self.shifts):
            which = _index(electrons, self.shifts["frame"])
            x, y = _like(electrons, self.shifts["x"]), _like(electrons, self.shifts["y"])
            noise = electrons[which] - expected[which]
            electrons[which] = expected[which] + resample(noise, x, y, self.effects.lanczos)
        if len(self.columns):
            frame, x = (_index(electrons, self.columns[name]) for name in ("frame", "x"))
            electrons[frame, :, x] = torch.nan
        return electrons


def draw(
    artefacts: Artefacts,
    owner: NDArray[np.int64],
    epochs: NDArray[np.void],
    cameras: NDArray[np.void],
    rng: np.random.Generator,
) -> Blemishes:
    """Draw what befalls M frames of n objects; an effect of rate 0 draws nothing from ``rng``.

    Parameters
    ----------
    artefacts
        How often, and how much.
    owner
        (M,) index of the object in each frame, the frames of an object together.
    epochs
        (M,) of EPOCH_DTYPE.
    cameras
        (n,) of CAMERA_DTYPE.
    rng
        Source of all randomness.
    """
    camera = cameras[owner]
    seeing = epochs["seeing"] / camera["pixscale"]
    return Blemishes(
        effects=artefacts,
        well=camera["saturate"] * camera["gain"],
        slope=_slope(artefacts.gradient, epochs["sky"], rng),
        trails=_trails(artefacts, seeing, rng),
        spikes=np.sort(
            np.concatenate([cosmic_rays(artefacts, len(owner), rng), hot_pixels(artefacts, len(owner), rng)]),
            order="frame",
            kind="stable",
        ),
        columns=_columns(artefacts.bad_columns, len(owner), rng),
        shifts=_shifts(artefacts.resampled, owner, len(cameras), rng),
    )


def _slope(scatter: float, sky: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    if not scatter:
        return np.zeros((len(sky), 2))
    return rng.normal(0.0, scatter, (len(sky), 2)) * sky[:, None]


def _trails(artefacts: Artefacts, seeing: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.void]:
    if not artefacts.trails:
        return np.empty(0, _TRAIL_DTYPE)
    crossed = np.flatnonzero(rng.random(len(seeing)) < artefacts.trails)
    trails = np.zeros(len(crossed), _TRAIL_DTYPE)
    trails["frame"] = crossed
    trails["distance"] = rng.uniform(-_REACH, _REACH, len(crossed))
    trails["angle"] = rng.uniform(0.0, np.pi, len(crossed))
    trails["sigma"] = seeing[crossed] / FWHM_OF_SIGMA
    trails["brightness"] = artefacts.trail_brightness * rng.lognormal(0.0, 1.0, len(crossed))
    return trails


def _columns(rate: float, m: int, rng: np.random.Generator) -> NDArray[np.void]:
    if not rate:
        return np.empty(0, _COLUMN_DTYPE)
    columns = np.zeros(rng.poisson(rate * m), _COLUMN_DTYPE)
    columns["frame"] = np.sort(rng.integers(m, size=len(columns)))
    columns["x"] = rng.integers(STAMP_SIZE, size=len(columns))
    return columns


def _shifts(share: float, owner: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.void]:
    if not share:
        return np.empty(0, _SHIFT_DTYPE)
    chosen = rng.random(n) < share
    frames = np.flatnonzero(chosen[owner])
    shifts = np.zeros(len(frames), _SHIFT_DTYPE)
    shifts["frame"] = frames
    shifts["x"], shifts["y"] = rng.random((2, len(frames)))
    return shifts


def _names(rows: NDArray[np.void]) -> tuple[str, ...]:
    return rows.dtype.names or ()


def _like(tensor: Tensor, values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float64)).to(tensor)


def _index(tensor: Tensor, values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(tensor.device)
