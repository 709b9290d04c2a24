"""The crowd: stars and galaxies that happen to lie beside a target, the same in all its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astroreel.images.gaussians import STAMP_SIZE
from astroreel.survey.artefacts import Neighbours

#: How far beyond a stamp's edges the light of a neighbour matters [pixel].
_MARGIN = 6.0

#: Half-light radius of a round Gaussian over its standard deviation.
_HALF_LIGHT = float(np.sqrt(2.0 * np.log(2.0)))

_RADIUS_SCATTER = 0.4


@dataclass(frozen=True)
class Crowd:
    """K neighbours of n objects, all arrays (K,), sorted by object.

    Attributes
    ----------
    owner
        Index of the object that it stands beside.
    x, y
        Place from the target [pixel].
    magnitude
        Magnitude [mag].
    sigma
        Standard deviation of its light before any point spread function [pixel]; 0 for a star.
    """

    owner: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @classmethod
    def draw(cls, neighbours: Neighbours, cameras: NDArray[np.void], rng: np.random.Generator) -> Crowd:
        """Draw the neighbours of n objects on detectors ``cameras``, (n,) of CAMERA_DTYPE.

        Their counts rise as 10^(slope m) between the limits. Where the density is 0, nothing is drawn from
        ``rng``.
        """
        side = STAMP_SIZE + 2.0 * _MARGIN
        mean = neighbours.density * (side * cameras["pixscale"] / 60.0) ** 2
        count = rng.poisson(mean) if neighbours.density else np.zeros(len(cameras), np.int64)
        owner = np.repeat(np.arange(len(cameras)), count)
        k = len(owner)
        bright, faint = (10.0 ** (neighbours.slope * limit) for limit in neighbours.limits)
        radius = neighbours.radius * rng.lognormal(0.0, _RADIUS_SCATTER, k) / cameras["pixscale"][owner]
        return cls(
            owner=owner,
            x=rng.uniform(-side / 2.0, side / 2.0, k),
            y=rng.uniform(-side / 2.0, side / 2.0, k),
            magnitude=np.log10(rng.uniform(bright, faint, k)) / neighbours.slope,
            sigma=np.where(rng.random(k) < neighbours.galaxies, radius / _HALF_LIGHT, 0.0),
        )

    def __len__(self) -> int:
        return len(self.owner)

    def frames(self, owner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every neighbour in every frame that shows it: indices of neighbours and of frames, (P,) each.

        Parameters
        ----------
        owner
            (M,) index of the object in each frame; the frames that are returned ascend.
        """
        first, last = np.searchsorted(self.owner, owner), np.searchsorted(self.owner, owner, "right")
        count = last - first
        frame = np.repeat(np.arange(len(owner)), count)
        within = np.arange(len(frame)) - np.repeat(np.cumsum(count) - count, count)
        return first[frame] + within, frame
