"""The sequence record: one object's stamps and epochs, and many objects at once.

Contract 1 of the design, in memory. A :class:`Sequence` is one object; a :class:`SequenceSet` is
many, ragged, laid end to end, so that work on all frames of all objects is one array operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astroreel.sequences.compact import Stamps, join
from astroreel.survey.conditions import EPOCH_DTYPE as EPOCH_DTYPE

STAMP_SIZE = 21
MIN_EPOCHS = 6
MAX_EPOCHS = 10_000

#: One row an object. Units: arcsec/pixel, e-/ADU, e-, ADU, deg, deg, 0-1; label "" = unlabelled,
#: ccd "" and ra, dec, label_confidence NaN = not given.
OBJECT_DTYPE = np.dtype(
    [
        ("name", "U68"),
        ("survey", "U24"),
        ("label", "U24"),
        ("field", "U24"),
        ("ccd", "U8"),
        ("pixscale", "f8"),
        ("gain", "f8"),
        ("rdnoise", "f8"),
        ("saturate", "f8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("label_source", "U68"),
        ("label_confidence", "f8"),
    ]
)

#: What a simulator knows of an object: magnitude is the mean over its epochs, NaN where it has none;
#: alert is the epoch of the first detection (-1: none); the names of what its image was made from
#: tell whether two sets share a template, a host or a point spread function.
TRUTH_DTYPE = np.dtype(
    [
        ("magnitude", "f8"),
        ("template", "U48"),
        ("host", "U48"),
        ("psf", "U48"),
        ("redshift", "f8"),
        ("period", "f8"),
        ("alert", "i8"),
    ]
)


@dataclass(frozen=True)
class Sequence:
    """One object.

    Attributes
    ----------
    header
        One record of :data:`OBJECT_DTYPE`.
    stamps
        (T, 21, 21) float32, ADU with sky; bad pixels NaN.
    epochs
        (T,) of :data:`EPOCH_DTYPE`, sorted by MJD.
    """

    header: np.void
    stamps: NDArray[np.float32]
    epochs: NDArray[np.void]

    @property
    def name(self) -> str:
        return str(self.header["name"])

    @property
    def label(self) -> str:
        return str(self.header["label"])

    def __len__(self) -> int:
        return len(self.epochs)


@dataclass(frozen=True)
class SequenceSet:
    """Many objects, ragged, laid end to end.

    Attributes
    ----------
    objects
        (N,) of :data:`OBJECT_DTYPE`.
    offsets
        (N + 1,) int64; object i owns frames ``offsets[i]:offsets[i + 1]``.
    stamps
        (M, 21, 21) float32, ADU with sky; bad pixels NaN. What a store gave is unpacked where it is indexed,
        by frames alone.
    epochs
        (M,) of :data:`EPOCH_DTYPE`, sorted by MJD within an object.
    truth
        (N,) of :data:`TRUTH_DTYPE` for simulated objects, else None.
    """

    objects: NDArray[np.void]
    offsets: NDArray[np.int64]
    stamps: Stamps
    epochs: NDArray[np.void]
    truth: NDArray[np.void] | None = field(default=None)

    @classmethod
    def from_sequences(cls, sequences: Iterable[Sequence]) -> SequenceSet:
        """Lay sequences end to end."""
        members = list(sequences)
        lengths = [len(member) for member in members]
        return cls(
            objects=np.array([member.header for member in members], dtype=OBJECT_DTYPE),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            stamps=(
                np.concatenate([member.stamps for member in members])
                if members
                else np.empty((0, STAMP_SIZE, STAMP_SIZE), np.float32)
            ),
            epochs=(
                np.concatenate([member.epochs for member in members]) if members else np.empty(0, EPOCH_DTYPE)
            ),
        )

    @classmethod
    def concatenate(cls, sets: Iterable[SequenceSet]) -> SequenceSet:
        """Join sets in order; the truth is kept where every set has one."""
        members = list(sets) or [cls.from_sequences([])]
        lengths = np.concatenate([member.lengths for member in members])
        truths = [member.truth for member in members]
        return cls(
            objects=np.concatenate([member.objects for member in members]),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            stamps=join([member.stamps for member in members]),
            epochs=np.concatenate([member.epochs for member in members]),
            truth=None if any(t is None for t in truths) else np.concatenate(truths),  # type: ignore[arg-type]
        )

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> Sequence:
        start, stop = self.offsets[index], self.offsets[index + 1]
        return Sequence(self.objects[index], self.stamps[start:stop], self.epochs[start:stop])

    def __iter__(self) -> Iterator[Sequence]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of epochs of each object, (N,)."""
        return np.diff(self.offsets)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Class names, (N,); "" marks an unlabelled object."""
        return self.objects["label"]

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the object that each frame belongs to, (M,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def position(self) -> NDArray[np.int64]:
        """Index of each frame within its object, (M,)."""
        return np.arange(len(self.epochs)) - np.repeat(self.offsets[:-1], self.lengths)

    def select(self, which: ArrayLike) -> SequenceSet:
        """The objects named by indices or by a boolean mask, in that order."""
        chosen = np.asarray(which)
        indices = np.arange(len(self))[chosen if chosen.size else chosen.astype(np.int64)]
        return self._take(indices, self.offsets[indices], self.lengths[indices])

    def window(self, start: ArrayLike, length: ArrayLike) -> SequenceSet:
        """Frames ``start[i]`` to ``start[i] + length[i]`` (cut at the end) of each object i.

        An object that ends before its start ends up empty. Raises ``ValueError`` where a start or a
        length is below 0.
        """
        first = np.minimum(np.asarray(start, dtype=np.int64), self.lengths)
        count = np.minimum(np.asarray(length, dtype=np.int64), self.lengths - first)
        if (first < 0).any() or (count < 0).any():
            raise ValueError("a window starts at 0 or later and is not shorter than 0")
        return self._take(np.arange(len(self)), self.offsets[:-1] + first, count)

    def keep_frames(self, keep: ArrayLike) -> SequenceSet:
        """The frames where the mask ``keep`` (M,) is true; objects may end up empty."""
        mask = np.asarray(keep, dtype=bool)
        counts = np.bincount(self.owner[mask], minlength=len(self))
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            stamps=self.stamps[mask],
            epochs=self.epochs[mask],
        )

    def _take(
        self, indices: NDArray[np.int64], first: NDArray[np.int64], count: NDArray[np.int64]
    ) -> SequenceSet:
        offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        frames = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], count)
        return SequenceSet(
            objects=self.objects[indices],
            offsets=offsets,
            stamps=self.stamps[frames],
            epochs=self.epochs[frames],
            truth=None if self.truth is None else self.truth[indices],
        )
