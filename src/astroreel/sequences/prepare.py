"""Preparation: from stamps in ADU with sky to the arrays that a network reads (thesis 3.2.1).

Every stamp has its sky subtracted and is brought to a common zero point, so that one magnitude is
one number of counts (equations 3.3 to 3.5). The thesis takes the first exposure of a field as the
reference; here the reference is fixed for a survey, so that a count means the same in every field.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.classes import class_indices
from astroreel.sequences.record import STAMP_SIZE, SequenceSet

#: What `Prepared.conditions` holds for each frame: the seeing FWHM [pixel], the airmass, the
#: base-10 logarithm of the background noise of a pixel [ADU at the reference zero point], and the
#: depth relative to the reference zero point [mag].
CONDITIONS: tuple[str, ...] = ("seeing", "airmass", "log_noise", "depth")

#: Objects whose stamps `PreparedSet.fingerprint` sees, at most.
_SAMPLE = 4096

#: Variance of a number rounded to a whole one.
_ROUNDING = 1.0 / 12.0


class Preparation(BaseModel):
    """The parameters of the preparation; part of every bundle.

    Attributes
    ----------
    reference_zp
        Zero point [mag] that all stamps are brought to (equation 3.4).
    reference_exptime
        Exposure time [s] that all stamps are brought to (equation 3.3).
    max_epochs
        Number of epochs that a sequence is cut to (thesis: N_d = 22).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference_zp: float = Field(25.05, gt=0)
    reference_exptime: float = Field(86.0, gt=0)
    max_epochs: int = Field(22, ge=6)


class PreparedSet(ABC):
    """Objects from which prepared batches are drawn.

    Attributes
    ----------
    labels
        (N,) int64, index into CLASSES; -1 unlabelled.
    nbytes
        Bytes that the stamps take, in memory or in a mapped file.
    """

    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def nbytes(self) -> int: ...

    @abstractmethod
    def select(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Prepared:
        """The objects named by indices or by a boolean mask."""

    def batches(
        self, size: int, seed: int, first: int = 0, part: int = 0, parts: int = 1
    ) -> Generator[Prepared]:
        """Batch number ``first`` and all that follow, in shuffled passes; see `iterate_batches`.

        With ``parts`` above 1, of each batch only the objects ``part``, ``part + parts``, ...
        """
        return (
            self.select(members[part::parts]) for members in iterate_batches(len(self), size, seed, first)
        )

    def fingerprint(self) -> str:
        """A digest that tells two sets apart: of the labels, and of evenly spread objects' middle pixels."""
        step = max(len(self) // _SAMPLE, 1)
        sample = self.select(np.arange(0, len(self), step))
        middle = sample.stamps[..., STAMP_SIZE // 2, STAMP_SIZE // 2]
        digest = hashlib.sha256()
        for array in (self.labels, sample.times, sample.conditions, sample.mask, middle):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def iterate_batches(n: int, size: int, seed: int, first: int = 0) -> Iterator[NDArray[np.int64]]:
    """Indices of the objects of batch number ``first`` and of all that follow.

    Every object comes once in a pass, in an order of its own for each pass; what is left of a pass
    after its last whole batch is passed over.
    """
    size = min(size, n)
    for number in count(first):
        turn, place = divmod(number, n // size)
        if number == first or place == 0:
            order = np.random.default_rng((seed, turn)).permutation(n)
        yield order[place * size : (place + 1) * size]


@dataclass(frozen=True)
class Prepared(PreparedSet):
    """A padded batch of N objects and T epochs.

    Attributes
    ----------
    stamps
        (N, T, 21, 21) float32, sky-subtracted ADU at the reference; bad and padded pixels 0.
    times
        (N, T) float32, days since the first epoch of the object.
    conditions
        (N, T, 4) float32, in the order of :data:`CONDITIONS`.
    mask
        (N, T) bool, true where there is an epoch.
    labels
        (N,) int64, index into CLASSES; -1 unlabelled.
    """

    stamps: NDArray[np.float32]
    times: NDArray[np.float32]
    conditions: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        return self.stamps.nbytes

    def select(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Prepared:
        return Prepared(
            self.stamps[which],
            self.times[which],
            self.conditions[which],
            self.mask[which],
            self.labels[which],
        )


class LazyPrepared(PreparedSet):
    """Sequences that are prepared as they are drawn, so that a set larger than memory can stay in its file.

    Parameters
    ----------
    sequences
        Such as `astroreel.sequences.store.load_store` gives.
    preparation
        How their stamps are made ready.
    """

    def __init__(self, sequences: SequenceSet, preparation: Preparation) -> None:
        self.labels = class_indices(sequences.labels)
        self._sequences = sequences
        self._preparation = preparation

    @property
    def nbytes(self) -> int:
        return self._sequences.stamps.nbytes

    def select(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Prepared:
        return prepare(self._sequences.select(which), self._preparation)


def zero_point_factor(sequences: SequenceSet, preparation: Preparation) -> NDArray[np.float64]:
    """The factor gamma that brings each frame to the reference, (M,) (equations 3.3 and 3.4)."""
    epochs = sequences.epochs
    brightness = 10.0 ** (0.4 * (preparation.reference_zp - epochs["zp"]))
    return brightness * preparation.reference_exptime / epochs["exptime"]


def background_noise(sequences: SequenceSet) -> NDArray[np.float64]:
    """Standard deviation of a sky pixel of each frame [ADU], (M,): sky and read noise.

    At least that of rounding to whole ADU, lest a frame without sky and read noise weigh infinitely.
    """
    gain = sequences.objects["gain"][sequences.owner]
    rdnoise = sequences.objects["rdnoise"][sequences.owner]
    variance = np.maximum(sequences.epochs["sky"], 0.0) / gain + (rdnoise / gain) ** 2
    return np.sqrt(np.maximum(variance, _ROUNDING))


def prepare(sequences: SequenceSet, preparation: Preparation) -> Prepared:
    """Subtract the sky, scale to the reference zero point and pad (equation 3.5)."""
    sequences = sequences.window(0, preparation.max_epochs)
    owner, position = sequences.owner, sequences.position
    shape = (len(sequences), int(max(sequences.lengths, default=0)))
    gamma = zero_point_factor(sequences, preparation)
    epochs = sequences.epochs

    scaled = np.asarray(sequences.stamps)  # the window's own copy
    scaled -= epochs["sky"][:, None, None].astype(np.float32)
    scaled *= gamma[:, None, None].astype(np.float32)
    good = np.isfinite(scaled)
    if not good.all():
        scaled[~good] = 0.0
    stamps = np.zeros((*shape, STAMP_SIZE, STAMP_SIZE), np.float32)
    stamps[owner, position] = scaled

    times = np.zeros(shape, np.float32)
    times[owner, position] = epochs["mjd"] - epochs["mjd"][sequences.offsets[:-1][owner]]

    conditions = np.zeros((*shape, len(CONDITIONS)), np.float32)
    conditions[owner, position] = np.stack(
        [
            epochs["seeing"] / sequences.objects["pixscale"][owner],
            epochs["airmass"],
            np.log10(background_noise(sequences) * gamma),
            epochs["limmag"] - preparation.reference_zp,
        ],
        axis=-1,
    )
    mask = np.zeros(shape, bool)
    mask[owner, position] = True
    return Prepared(stamps, times, conditions, mask, class_indices(sequences.labels))
