"""Frames: all about a number of exposures but the noise of their pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.images.artefacts import Blemishes

#: A neighbour of a target in one frame: where it lies [pixel], its flux [ADU] and the standard deviation of
#: its light before any point spread function [pixel].
NEIGHBOUR_DTYPE = np.dtype([("frame", "i8"), ("x", "f8"), ("y", "f8"), ("flux", "f8"), ("sigma", "f8")])


@dataclass(frozen=True)
class Frames:
    """M frames of n objects: arrays of length M, the frames of an object together.

    Positions count from the centre of the central pixel.

    Attributes
    ----------
    owner
        Index of the object.
    psf, fwhm, angle, axis_ratio, wings
        The point spread function, see `PsfLibrary.gaussians`.
    coma_x, coma_y, twist_1, twist_2
        What the optics do to it, see `Aberrations`.
    x, y
        Position of the source [pixel].
    flux
        Of the source [ADU].
    trail, trail_angle
        Length [pixel] and direction [rad] of the way that the source goes during the exposure.
    host, host_angle
        The galaxy, see `HostLibrary.gaussians`; -1 for none.
    host_x, host_y
        Position of the galaxy [pixel].
    host_flux
        Of the galaxy [ADU].
    sky
        Level of the background [ADU/pixel].
    pixscale, gain, rdnoise, saturate
        The detector: [arcsec/pixel], [e-/ADU], [e-], [ADU].
    neighbours
        (P,) of :data:`NEIGHBOUR_DTYPE`, in order of their frames; places count from the source.
    blemishes
        What else befalls the frames.
    """

    owner: NDArray[np.int64]
    psf: NDArray[np.int64]
    fwhm: NDArray[np.float64]
    angle: NDArray[np.float64]
    axis_ratio: NDArray[np.float64]
    wings: NDArray[np.float64]
    coma_x: NDArray[np.float64]
    coma_y: NDArray[np.float64]
    twist_1: NDArray[np.float64]
    twist_2: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    trail: NDArray[np.float64]
    trail_angle: NDArray[np.float64]
    host: NDArray[np.int64]
    host_angle: NDArray[np.float64]
    host_x: NDArray[np.float64]
    host_y: NDArray[np.float64]
    host_flux: NDArray[np.float64]
    sky: NDArray[np.float64]
    pixscale: NDArray[np.float64]
    gain: NDArray[np.float64]
    rdnoise: NDArray[np.float64]
    saturate: NDArray[np.float64]
    neighbours: NDArray[np.void]
    blemishes: Blemishes

    def __len__(self) -> int:
        return len(self.owner)

    def first(self, n: int) -> Frames:
        """The first n frames."""
        shown = self.neighbours[: np.searchsorted(self.neighbours["frame"], n)]
        columns = {name: column[:n] for name, column in self.columns().items()}
        return Frames(**columns, neighbours=shown, blemishes=self.blemishes.select(slice(n)))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays of length M by name."""
        names = [column.name for column in fields(Frames)]
        return {name: getattr(self, name) for name in names if name not in ("neighbours", "blemishes")}
