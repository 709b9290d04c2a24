"""Which frames of which real object are used, and who may learn from whom.

Folds of whole fields: an object is tested by models whose few-shot samples came from other fields.
Supernovae start five epochs before their first detection and run to the last exposure (thesis 3.2.1);
every other object takes the length and, where it can, the start of one of the supernovae, so that neither
tells the class. What remains is the fields' own cadence: classes lie in different fields.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.errors import UserError
from astroreel.files import read_json, write_json
from astroreel.sequences.record import MIN_EPOCHS, SequenceSet

#: Class whose windows follow its alerts and lend their lengths to the others.
TRANSIENT = "supernova"
_CANDIDATE_FOLDS = 2000


class SplitConfig(BaseModel):
    """How the target's objects are cut and parted.

    Attributes
    ----------
    max_seeing
        Epochs with a wider seeing [arcsec] are left out (thesis 3.1.3: 2.0).
    max_epochs
        Longest window (thesis: N_d = 22).
    epochs_before_alert
        Epochs before the first detection at which a supernova's window starts (thesis: 5).
    folds
        Number of parts of the fields; each part is tested once in every draw.
    shots
        Real sequences a class that a model is fine-tuned with (thesis: 10).
    draws
        How often the few shots are drawn anew (thesis: 5).
    seed
        Seed of the folds, windows and draws.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_seeing: float = Field(2.0, gt=0)
    max_epochs: int = Field(22, ge=MIN_EPOCHS)
    epochs_before_alert: int = Field(5, ge=0)
    folds: int = Field(2, ge=2)
    shots: int = Field(10, ge=1)
    draws: int = Field(5, ge=1)
    seed: int = Field(1, ge=0)


@dataclass(frozen=True)
class SplitObject:
    """One object's part.

    Attributes
    ----------
    label, field, fold
        Its class, its field and the fold in which that lies.
    start, length
        Its window among the epochs of good seeing.
    detection
        Epoch of the window at which a supernova is first detected; -1 for every other object.
    """

    label: str
    field: str
    fold: int
    start: int
    length: int
    detection: int


@dataclass(frozen=True)
class Split:
    """The split of a target dataset.

    Attributes
    ----------
    objects
        What is used, by name.
    excluded
        What is not, by name, and why.
    shots
        ``shots[draw][fold]``: names of the few-shot samples for the models that are tested on ``fold``;
        none of them lies in a field of that fold.
    """

    objects: dict[str, SplitObject]
    excluded: dict[str, str]
    shots: list[list[list[str]]]

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Draw and fold of every fine-tuning; none where nothing is labelled."""
        return [(draw, fold) for draw, folds in enumerate(self.shots) for fold in range(len(folds))]

    def write(self, path: Path) -> None:
        """Write the split as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a split that `write` wrote; raises `UserError` where it is none."""
        content = read_json(path)
        try:
            objects = {name: SplitObject(**entry) for name, entry in content["objects"].items()}
            return cls(objects, content["excluded"], content["shots"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: no split ({error}): run the split stage again") from error


def good_seeing(sequences: SequenceSet, config: SplitConfig) -> SequenceSet:
    """The epochs whose seeing is within the limit."""
    return sequences.keep_frames(sequences.epochs["seeing"] <= config.max_seeing)


def split_target(sequences: SequenceSet, alerts: NDArray[np.int64], config: SplitConfig) -> Split:
    """Cut and part a labelled target dataset; one without objects has an empty split.

    Parameters
    ----------
    sequences
        Labelled objects with epochs of good seeing only (`good_seeing`).
    alerts
        (N,) epoch of each object's first detection, -1 for none; read for supernovae alone.
    config
        Sizes and seed.

    Raises
    ------
    UserError
        Where a class has too few objects outside some fold to draw the shots from.
    """
    rng = np.random.default_rng(config.seed)
    parts = windows(sequences, alerts, config, rng)
    if not len(sequences):
        return parts
    used = sequences.select(np.isin(sequences.objects["name"], list(parts.objects)))
    folds = _field_folds(used, config.folds, rng)
    objects = {name: replace(one, fold=folds[one.field]) for name, one in parts.objects.items()}
    shots = [
        [_draw_shots(objects, fold, config.shots, rng) for fold in range(config.folds)]
        for _ in range(config.draws)
    ]
    return Split(objects, parts.excluded, shots)


def windows(
    sequences: SequenceSet, alerts: NDArray[np.int64], config: SplitConfig, rng: np.random.Generator
) -> Split:
    """Cut labelled objects and leave them in one part: all are of fold 0, and no shots are drawn.

    Takes ``sequences``, ``alerts`` and ``config`` as `split_target`.
    """
    excluded = _excluded(sequences, alerts)
    used = ~np.isin(sequences.objects["name"], list(excluded))
    kept, kept_alerts = sequences.select(used), alerts[used]
    starts, lengths = _windows(kept, kept_alerts, config, rng)
    detections = np.where(kept.labels == TRANSIENT, kept_alerts - starts, -1)
    objects = {
        str(record["name"]): SplitObject(
            label=str(record["label"]),
            field=str(record["field"]),
            fold=0,
            start=int(start),
            length=int(length),
            detection=int(detection),
        )
        for record, start, length, detection in zip(kept.objects, starts, lengths, detections, strict=True)
    }
    return Split(objects, excluded, [])


def cut(sequences: SequenceSet, split: Split, config: SplitConfig) -> SequenceSet:
    """The objects of a split, in its order, each cut to its window."""
    good = good_seeing(sequences, config)
    index = {str(name): i for i, name in enumerate(good.objects["name"])}
    chosen = good.select(np.array([index[name] for name in split.objects], dtype=np.int64))
    return chosen.window(
        np.array([entry.start for entry in split.objects.values()]),
        np.array([entry.length for entry in split.objects.values()]),
    )


def _excluded(sequences: SequenceSet, alerts: NDArray[np.int64]) -> dict[str, str]:
    excluded: dict[str, str] = {}
    for record, alert, length in zip(sequences.objects, alerts, sequences.lengths, strict=True):
        if length < MIN_EPOCHS:
            excluded[str(record["name"])] = (
                f"{length} epochs of good seeing, at least {MIN_EPOCHS} are needed"
            )
        elif record["label"] == TRANSIENT and alert < 0:
            excluded[str(record["name"])] = "never detected at 5 sigma"
    return excluded


def _windows(
    sequences: SequenceSet, alerts: NDArray[np.int64], config: SplitConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length of each object's window; those of the others are drawn from the transients'."""
    lengths, labels = sequences.lengths, sequences.labels
    transient = labels == TRANSIENT
    if not transient.any():
        return np.zeros_like(lengths), np.minimum(lengths, config.max_epochs)
    starts = np.clip(alerts - config.epochs_before_alert, 0, lengths - MIN_EPOCHS)
    spans = np.minimum(lengths - starts, config.max_epochs)
    lenders = rng.choice(np.flatnonzero(transient), len(lengths))
    # A series shorter than its lender's keeps the length, which could tell the class, and gives way
    # in the start.
    spans = np.where(transient, spans, np.minimum(spans[lenders], lengths))
    starts = np.where(transient, starts, np.minimum(starts[lenders], lengths - spans))
    return starts, spans


def _field_folds(sequences: SequenceSet, folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Part the fields so that every class is spread as evenly as random trials can make it."""
    fields, field_of = np.unique(sequences.objects["field"], return_inverse=True)
    classes, class_of = np.unique(sequences.labels, return_inverse=True)
    if len(fields) < folds:
        raise UserError(
            f"split.folds is {folds}, but the objects lie in {len(fields)} fields: take fewer folds"
        )
    counts = np.zeros((len(fields), len(classes)))
    np.add.at(counts, (field_of, class_of), 1)
    shares = counts / counts.sum(axis=0)
    trials = rng.permuted(np.tile(np.arange(len(fields)) % folds, (_CANDIDATE_FOLDS, 1)), axis=1)
    shares_of_trials = np.stack([(trials == fold).astype(float) @ shares for fold in range(folds)])
    best = trials[np.abs(shares_of_trials - 1 / folds).max(axis=(0, 2)).argmin()]
    return {str(name): int(fold) for name, fold in zip(fields, best, strict=True)}


def _draw_shots(
    objects: dict[str, SplitObject], fold: int, shots: int, rng: np.random.Generator
) -> list[str]:
    drawn: list[str] = []
    for label in sorted({entry.label for entry in objects.values()}):
        pool = sorted(n for n, entry in objects.items() if entry.label == label and entry.fold != fold)
        if len(pool) < shots:
            raise UserError(
                f"split.shots is {shots}, but {label} has {len(pool)} objects outside fold {fold}: take fewer"
            )
        drawn += [str(name) for name in rng.choice(pool, size=shots, replace=False)]
    return drawn
