"""The predictions that an evaluation is made of, and how folds and draws are laid together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.sequences.record import SequenceSet

Domain = Literal["simulated", "simulated_train", "real", "surrogate"]
Stage = Literal["zero_shot", "fine_tuned"]

#: The domains that models are fine-tuned to, whose objects are tested by cross-fitting.
TARGET_DOMAINS: tuple[Domain, ...] = ("real", "surrogate")


@dataclass(frozen=True)
class Objects:
    """N labelled objects.

    Attributes
    ----------
    names, fields
        (N,) name and field of each.
    labels
        (N,) index into CLASSES.
    lengths
        (N,) number of its samples.
    detections
        (N,) sample, counted from 0, at which a supernova is first detected; -1 for none, and for every
        other object.
    """

    names: NDArray[np.str_]
    fields: NDArray[np.str_]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64]
    detections: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: SequenceSet, detections: NDArray[np.int64]) -> Self:
        """Those of a set of sequences."""
        names, fields = sequences.objects["name"], sequences.objects["field"]
        return cls(names, fields, class_indices(sequences.labels), sequences.lengths, detections)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, which: NDArray[np.int64]) -> Objects:
        """Those named by indices, in that order."""
        return Objects(**{column.name: getattr(self, column.name)[which] for column in fields(Objects)})


def join(parts: Sequence[Objects]) -> Objects:
    """The objects of all parts, in order."""
    columns = (column.name for column in fields(Objects))
    return Objects(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


@dataclass(frozen=True)
class Predictions:
    """What one model said of N objects.

    Attributes
    ----------
    model
        ``rcnn``, ``forest`` or a baseline's name.
    stage
        ``zero_shot``: trained without real labels; ``fine_tuned``: with a few.
    domain
        Where the objects come from.
    objects
        The objects.
    probabilities
        (N, 22, 7), after n = 1 .. 22 samples.
    draw
        Which draw of the few-shot pool (or which seed) the model comes from.
    fold
        Which fold of the fields was kept from the model.
    """

    model: str
    stage: Stage
    domain: Domain
    objects: Objects
    probabilities: NDArray[np.floating]
    draw: int | None = None
    fold: int | None = None

    @property
    def trial(self) -> tuple[int, int]:
        """Predictions that share it make up one test of all objects (cross-fitting: its folds)."""
        fold = 0 if self.domain in TARGET_DOMAINS else self.fold
        return (-1 if self.draw is None else self.draw, -1 if fold is None else fold)


@dataclass(frozen=True)
class Trials:
    """One model at one stage, tested D times on the N objects of a domain.

    ``predicted`` (D, N, 22) are class indices, ``final`` (D, N, 7) the last probabilities.
    """

    predicted: NDArray[np.int64]
    final: NDArray[np.float64]


def objects_of(group: Sequence[Predictions]) -> Objects:
    """The objects of a group's first trial, sorted by name.

    Raises ``ValueError`` where an object is there twice or has no label.
    """
    first = [member for member in group if member.trial == group[0].trial]
    objects = join([member.objects for member in first])
    unique, order = np.unique(objects.names, return_index=True)
    if len(unique) < len(objects):
        twice = len(objects) - len(unique)
        raise ValueError(f"{first[0].domain}: {twice} objects are tested twice in one draw")
    if np.any(objects.labels < 0):
        raise ValueError(f"{objects.names[np.argmin(objects.labels)]} has no label and cannot be tested")
    return objects.select(order)


def gather(group: Sequence[Predictions], objects: Objects) -> Trials:
    """Join the folds of each trial, in the order of ``objects``.

    Raises ``ValueError`` where a trial does not test each of ``objects`` exactly once.
    """
    trials: dict[tuple[int, int], list[Predictions]] = defaultdict(list)
    for member in group:
        trials[member.trial].append(member)
    tables = [_joined(members, objects) for _, members in sorted(trials.items())]
    return Trials(
        predicted=np.stack([table.argmax(axis=-1) for table in tables]),
        final=np.stack([table[:, -1] for table in tables]).astype(float),
    )


def _joined(members: Sequence[Predictions], objects: Objects) -> NDArray[np.floating]:
    names = np.concatenate([member.objects.names for member in members])
    order = np.argsort(names)
    if not np.array_equal(names[order], objects.names):
        one = members[0]
        raise ValueError(
            f"{one.domain} {one.model} {one.stage} draw {one.draw}: every object must be tested once,"
            f" by every model: {len(names)} predictions, {len(objects.names)} objects"
        )
    return np.concatenate([member.probabilities for member in members])[order]
