"""Light curves: many, ragged, laid end to end, so that work on all of them is one array operation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class LightCurves:
    """The light curves of N objects, M epochs in all.

    Attributes
    ----------
    offsets
        (N + 1,) int64; object i owns epochs ``offsets[i]:offsets[i + 1]``.
    mjd
        (M,) float64, days, ascending within an object.
    flux
        (M,) float64, ADU at the reference zero point and exposure time; NaN where not measurable.
    error
        (M,) float64, standard deviation of the flux, same unit; infinite where not measurable.
    """

    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def concatenate(cls, parts: Iterable[LightCurves]) -> Self:
        """The objects of several sets, one after the other."""
        columns = zip(*((part.lengths, part.mjd, part.flux, part.error) for part in parts), strict=True)
        lengths, *epochs = (np.concatenate(column) for column in columns)
        return cls(_offsets(lengths), *epochs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of epochs of each object, (N,)."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the object that each epoch belongs to, (M,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def position(self) -> NDArray[np.int64]:
        """Index of each epoch within its object, (M,)."""
        return np.arange(len(self.mjd)) - np.repeat(self.offsets[:-1], self.lengths)

    def select(self, which: ArrayLike) -> LightCurves:
        """The objects named by indices (which may repeat) or by a boolean mask, in that order."""
        indices = np.arange(len(self))[np.asarray(which)]
        return self._take(self.offsets[indices], self.lengths[indices])

    def first(self, count: ArrayLike) -> LightCurves:
        """The first ``count`` epochs of each object, one number or (N,); a shorter one stays whole."""
        return self._take(self.offsets[:-1], np.minimum(count, self.lengths))

    def measured(self) -> LightCurves:
        """Without the epochs whose flux could not be measured; an object may end up empty."""
        good = np.isfinite(self.flux) & np.isfinite(self.error)
        counts = np.bincount(self.owner[good], minlength=len(self))
        return LightCurves(_offsets(counts), self.mjd[good], self.flux[good], self.error[good])

    def padded(self, values: NDArray[np.float64], fill: float = np.nan) -> NDArray[np.float64]:
        """Lay flat ``values`` (M,) out as (N, T), with ``fill`` after the end of an object."""
        table = np.full((len(self), int(max(self.lengths, default=0))), fill)
        table[self.owner, self.position] = values
        return table

    def _take(self, start: NDArray[np.int64], count: NDArray[np.int64]) -> LightCurves:
        offsets = _offsets(count)
        epochs = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], count)
        return LightCurves(offsets, self.mjd[epochs], self.flux[epochs], self.error[epochs])


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
