"""The predictions that an evaluation is made of, and how folds and draws are laid together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.evaluation.metrics import by_sample_count
from astroreel.sequences.record import SequenceSet

Domain = Literal["simulated", "simulated_train", "real", "surrogate"]
Stage = Literal["zero_shot", "fine_tuned"]

#: The domains that models are fine-tuned to, whose objects are tested by cross-fitting.
TARGET_DOMAINS: tuple[Domain, ...] = ("real", "surrogate")


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
    probabilities
        (N, 22, 7), after n = 1 .. 22 samples.
    names, fields
        (N,) name and field of each object.
    labels
        (N,) index into CLASSES.
    draw
        Which draw of the few-shot pool (or which seed) the model comes from.
    fold
        Which fold of the fields was kept from the model.
    """

    model: str
    stage: Stage
    domain: Domain
    probabilities: NDArray[np.floating]
    names: NDArray[np.str_]
    fields: NDArray[np.str_]
    labels: NDArray[np.int64]
    draw: int | None = None
    fold: int | None = None

    @classmethod
    def of(
        cls,
        sequences: SequenceSet,
        probabilities: NDArray[np.floating],
        *,
        model: str,
        stage: Stage,
        domain: Domain,
        draw: int | None = None,
        fold: int | None = None,
    ) -> Self:
        """Predictions from a `Classifier`'s answer (M, 7), a row an epoch of ``sequences``."""
        return cls(
            model=model,
            stage=stage,
            domain=domain,
            probabilities=by_sample_count(probabilities, sequences.offsets),
            names=sequences.objects["name"],
            fields=sequences.objects["field"],
            labels=class_indices(sequences.labels),
            draw=draw,
            fold=fold,
        )

    @property
    def trial(self) -> tuple[int, int]:
        """Predictions that share it make up one test of all objects (cross-fitting: its folds)."""
        fold = 0 if self.domain in TARGET_DOMAINS else self.fold
        return (-1 if self.draw is None else self.draw, -1 if fold is None else fold)


@dataclass(frozen=True)
class Objects:
    """The objects of a domain, sorted by name."""

    names: NDArray[np.str_]
    fields: NDArray[np.str_]
    labels: NDArray[np.int64]


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
    names = np.concatenate([member.names for member in first])
    fields = np.concatenate([member.fields for member in first])
    labels = np.concatenate([member.labels for member in first])
    unique, order = np.unique(names, return_index=True)
    if len(unique) < len(names):
        raise ValueError(
            f"{first[0].domain}: {len(names) - len(unique)} objects are tested twice in one draw"
        )
    if np.any(labels < 0):
        raise ValueError(f"{names[np.argmin(labels)]} has no label and cannot be tested")
    return Objects(unique, fields[order], labels[order])


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
    names = np.concatenate([member.names for member in members])
    order = np.argsort(names)
    if not np.array_equal(names[order], objects.names):
        one = members[0]
        raise ValueError(
            f"{one.domain} {one.model} {one.stage} draw {one.draw}: every object must be tested once,"
            f" by every model: {len(names)} predictions, {len(objects.names)} objects"
        )
    return np.concatenate([member.probabilities for member in members])[order]
