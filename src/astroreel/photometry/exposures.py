"""What photometry needs of each frame: its light above the background, its profile's width, its noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from astroreel.photometry.optimal import border_level, profile_width
from astroreel.sequences.prepare import Preparation, background_noise, zero_point_factor
from astroreel.sequences.record import SequenceSet

Floats = NDArray[np.float64]

#: A frame with a larger share of bad pixels is passed over.
_MAX_BAD = 0.05


@dataclass(frozen=True)
class Exposures:
    """M frames.

    Attributes
    ----------
    light
        (M, 21, 21) float32 ADU without sky and background level; bad pixels 0.
    usable
        (M,) whether nearly all pixels are good.
    sigma
        (M,) standard deviation of the Gaussian profile [pixel].
    background
        (M,) variance of a pixel without source [ADU^2].
    gain
        (M,) gain [e-/ADU].
    gamma
        (M,) what brings a flux to the reference zero point and exposure time.
    """

    light: NDArray[np.float32]
    usable: NDArray[np.bool_]
    sigma: Floats
    background: Floats
    gain: Floats
    gamma: Floats

    @classmethod
    def of(cls, sequences: SequenceSet, preparation: Preparation) -> Self:
        """All frames of some sequences; meant for some thousands at a time."""
        background = background_noise(sequences) ** 2
        stamps = sequences.stamps - sequences.epochs["sky"][:, None, None].astype(np.float32)
        level, _ = border_level(stamps, background)
        light = np.nan_to_num(stamps - level[:, None, None].astype(np.float32))
        return cls(
            light=light,
            usable=np.isnan(stamps).mean(axis=(1, 2)) <= _MAX_BAD,
            sigma=profile_width(sequences),
            background=background,
            gain=sequences.objects["gain"][sequences.owner],
            gamma=zero_point_factor(sequences, preparation),
        )


def product(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Sum over the pixels of the products of two sets of stamps (M, 21, 21), (M,)."""
    return np.einsum("mij,mij->m", first, second).astype(np.float64)
