"""Stamps as they are stored: two bytes a pixel where these hold them exactly.

A detector reads whole numbers, so that nothing is lost by it and half the room of float32 is saved. As
with a real detector a pedestal lets noise about an empty sky stay positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

#: What is added to a pixel [ADU]; from -499 to 65,035 ADU are held.
PEDESTAL = 500
#: A bad pixel.
BAD = 0

_LARGEST = np.iinfo(np.uint16).max


def pack(stamps: NDArray[np.float32]) -> NDArray[np.uint16] | NDArray[np.float32]:
    """The same stamps as uint16 if that loses nothing, else as they are."""
    bad = np.isnan(stamps)
    whole = np.where(bad, 0, stamps)
    held = (whole == np.rint(whole)) & (whole > BAD - PEDESTAL) & (whole <= _LARGEST - PEDESTAL)
    return np.where(bad, BAD, whole + PEDESTAL).astype(np.uint16) if held.all() else stamps


def unpack(stored: NDArray[Any]) -> NDArray[np.float32]:
    """What `pack` was given, float32."""
    if stored.dtype != np.uint16:
        return np.asarray(stored, np.float32)
    stamps = stored.astype(np.float32)
    stamps -= PEDESTAL
    if not stored.all():
        stamps[stored == BAD] = np.nan
    return stamps


class PackedStamps:
    """Packed stamps in one or more arrays, perhaps memory-mapped, that read as one array of float32.

    Indexing along the first axis unpacks what it names and nothing else.

    Parameters
    ----------
    parts
        Arrays (m, 21, 21) that `pack` made.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, parts: Iterable[NDArray[Any]]) -> None:
        self.parts = tuple(np.asarray(part) for part in parts)  # of a map a plain view
        self._starts = np.cumsum([0, *map(len, self.parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes that the packed stamps take."""
        return sum(part.nbytes for part in self.parts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, which: int | slice | ArrayLike) -> NDArray[np.float32]:
        """The stamps that an integer, a slice, indices or a boolean mask name."""
        if isinstance(which, slice):
            return self._take(np.arange(*which.indices(len(self))))
        indices = np.asarray(which)
        if indices.dtype == bool:
            return self._take(np.flatnonzero(indices))
        if indices.ndim == 0:
            return self._take(indices[None])[0]
        return self._take(indices)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self._take(np.arange(len(self))).astype(dtype or self.dtype, copy=False)

    def _take(self, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        frames = np.where(frames < 0, frames + len(self), frames)
        if len(frames) and not 0 <= frames.min() <= frames.max() < len(self):
            raise IndexError(f"frame out of the range of {len(self)} frames")
        part = np.searchsorted(self._starts, frames, side="right") - 1
        if len(self.parts) == 1:
            return unpack(self.parts[0][frames])
        taken = np.empty((len(frames), *self.shape[1:]), np.float32)
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            taken[here] = unpack(self.parts[number][frames[here] - self._starts[number]])
        return taken


#: What holds the stamps of many frames.
Stamps = NDArray[np.float32] | PackedStamps


def join(sets: Sequence[Stamps]) -> Stamps:
    """The stamps of several sets, in order; they stay packed where all are."""
    packed = [stamps for stamps in sets if isinstance(stamps, PackedStamps)]
    if len(packed) == len(sets):
        return PackedStamps(part for stamps in packed for part in stamps.parts)
    return np.concatenate([np.asarray(stamps) for stamps in sets])
