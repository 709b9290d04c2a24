"""The camera: what turns photons into numbers (thesis Table 3.1, upper half)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

#: One row a detector; units as in :class:`Camera`.
CAMERA_DTYPE = np.dtype(
    [("pixscale", "f8"), ("gain", "f8"), ("rdnoise", "f8"), ("saturate", "f8"), ("ccd", "U8")]
)


@dataclass(frozen=True)
class Camera:
    """One detector of a camera.

    Attributes
    ----------
    pixscale
        Pixel scale [arcsec/pixel].
    gain
        Gain [e-/ADU].
    rdnoise
        Read noise [e-].
    saturate
        Level at which a pixel saturates [ADU].
    ccd
        Name of the detector.
    """

    pixscale: float
    gain: float
    rdnoise: float
    saturate: float
    ccd: str

    def __post_init__(self) -> None:
        for column in fields(self):
            value = getattr(self, column.name)
            if column.name != "ccd" and not value > 0:
                raise ValueError(f"camera {self.ccd}: {column.name} must be above 0, not {value}")


def camera_table(cameras: Sequence[Camera]) -> NDArray[np.void]:
    """Detectors as one structured array of :data:`CAMERA_DTYPE`, to draw and index many at once."""
    return np.array([astuple(camera) for camera in cameras], dtype=CAMERA_DTYPE)
