"""Sources of the noise of pixels: one stream of random numbers an object, or one for all on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astroreel.images.gaussians import STAMP_SIZE


class NoiseSource(Protocol):
    """Random numbers for the pixels of the frames of one rendering."""

    def normal(self, frames: slice) -> Tensor:
        """Standard normal numbers, (n, 21, 21) float32, to be asked for once a frame."""

    def poisson(self, mean: Tensor, pixels: Tensor, frames: slice) -> Tensor:
        """Poisson numbers of a mean (n, 21, 21) where ``pixels`` is true, one after the other."""


class ObjectNoise:
    """A generator for each object, on the CPU: what an object's frames get depends on its own alone.

    Parameters
    ----------
    generators
        (n,) one an object.
    owner
        (M,) index of the object in each frame, the frames of an object together.
    """

    def __init__(self, generators: Sequence[np.random.Generator], owner: NDArray[np.int64]) -> None:
        self._generators, self._owner = generators, owner
        self._normal = np.empty((len(owner), STAMP_SIZE, STAMP_SIZE), np.float32)
        bounds = np.searchsorted(owner, np.arange(len(generators) + 1))
        for generator, first, last in zip(generators, bounds, bounds[1:], strict=False):
            generator.standard_normal(out=self._normal[first:last], dtype=np.float32)

    def normal(self, frames: slice) -> Tensor:
        return torch.from_numpy(self._normal[frames])

    def poisson(self, mean: Tensor, pixels: Tensor, frames: slice) -> Tensor:
        drawn = [
            self._generators[owner].poisson(one[where].numpy())
            for owner, one, where in zip(self._owner[frames], mean, pixels, strict=True)
            if where.any()
        ]
        return torch.from_numpy(np.concatenate(drawn)).float()


class DeviceNoise:
    """One generator on a device for whatever is drawn with it, in the order in which it is drawn."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def normal(self, frames: slice) -> Tensor:
        shape = (frames.stop - frames.start, STAMP_SIZE, STAMP_SIZE)
        return torch.randn(shape, generator=self._generator, device=self._generator.device)

    def poisson(self, mean: Tensor, pixels: Tensor, frames: slice) -> Tensor:
        return torch.poisson(mean[pixels], generator=self._generator)
