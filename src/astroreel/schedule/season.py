"""A season's arrivals: the target's labelled objects field by field, some files broken, mislabelled or twice.

A season is planned from a seed before anything arrives. So it is the same however often its rehearsal is
interrupted, and what became of each file can be held against what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np

from astroreel.arrivals.folders import Folders, plain
from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.schedule.damage import KINDS
from astroreel.schedule.season_config import SeasonConfig
from astroreel.sequences.file import read_folder, read_sequence, write_sequence
from astroreel.sequences.record import Sequence, SequenceSet
from astroreel.sequences.split import SplitObject

Kind = Literal["whole", "mislabelled", "damaged", "duplicate"]


@dataclass(frozen=True)
class Arrival:
    """One file.

    Attributes
    ----------
    number
        Its own in the season.
    name, field
        The target's object that it is of, and its field.
    called
        The name that it gives the object: a duplicate may have another.
    label
        The class that it says.
    kind
        ``whole`` or ``mislabelled``: the object's own; ``damaged``: a broken copy of it; ``duplicate``: the
        same once more.
    damage
        Which of `KINDS`, "" for none.
    """

    number: int
    name: str
    field: str
    called: str
    label: str
    kind: Kind
    damage: str = ""

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"{self.number:05d}-{plain(self.called)}.fits"

    @property
    def is_own(self) -> bool:
        """Whether it is the one file of its object that belongs into the labelled set."""
        return self.kind in ("whole", "mislabelled")

    def write(self, target: Path, folder: Path) -> None:
        """Write it into ``folder``, made of the object's file in ``target``: the same bytes each time."""
        place = folder / self.file
        sequence = read_sequence(target / f"{self.name}.fits")
        header = sequence.header.copy()
        header["name"], header["label"] = self.called, self.label
        write_sequence(place, Sequence(header, sequence.stamps, sequence.epochs))
        if self.damage:
            rng = np.random.default_rng(self.number)
            place.write_bytes(KINDS[self.damage](place.read_bytes(), rng))


@dataclass(frozen=True)
class Season:
    """The batches in the order in which they arrive, each in the order of its files' names."""

    batches: tuple[tuple[Arrival, ...], ...]

    @classmethod
    def plan(cls, objects: Mapping[str, SplitObject], config: SeasonConfig) -> Self:
        """Plan a season of labelled objects.

        Raises `UserError` where they lie in fewer fields than there are batches.
        """
        rng = np.random.default_rng(config.seed)
        batch = _batches(objects, config.batches, rng)
        names = [str(name) for name in rng.permutation(sorted(objects))]
        wrong = _wrong_labels(objects, _some(names, config.mislabelled, rng), rng)
        broken = _some(names, config.damaged, rng)
        twice = _some(names, config.duplicated, rng)
        # The batch and its part: whole and broken files come mixed, what is there already after them.
        files: list[tuple[int, int, Arrival]] = []

        def arrive(name: str, where: int, part: int, kind: Kind, called: str = "", damage: str = "") -> None:
            label = objects[name].label if kind == "damaged" else wrong.get(name, objects[name].label)
            arrival = Arrival(0, name, objects[name].field, called or name, label, kind, damage)
            files.append((where, part, arrival))

        for name in names:
            arrive(name, batch[name], 0, "mislabelled" if name in wrong else "whole")
        for place, name in enumerate(broken):
            arrive(name, batch[name], 0, "damaged", damage=list(KINDS)[place % len(KINDS)])
        for place, name in enumerate(twice):
            later = int(rng.integers(batch[name], config.batches))
            arrive(name, later, 1, "duplicate", called="" if place % 2 else f"{name}-again")
        return cls(_numbered(files, config.batches, rng))

    def __iter__(self) -> Iterator[Arrival]:
        return (arrival for batch in self.batches for arrival in batch)

    @property
    def own(self) -> list[list[Arrival]]:
        """Of each batch the files that belong into the labelled set."""
        return [[arrival for arrival in batch if arrival.is_own] for batch in self.batches]


def _batches(objects: Mapping[str, SplitObject], count: int, rng: np.random.Generator) -> dict[str, int]:
    """The batch of each object: whole fields, about as many a batch."""
    fields = rng.permutation(sorted({one.field for one in objects.values()}))
    if len(fields) < count:
        raise UserError(
            f"rehearse.batches is {count}, but the season's objects lie in {len(fields)} fields: take fewer"
        )
    of_field = {
        str(name): number for number, part in enumerate(np.array_split(fields, count)) for name in part
    }
    return {name: of_field[one.field] for name, one in objects.items()}


def _some(names: list[str], share: float, rng: np.random.Generator) -> list[str]:
    chosen = rng.choice(len(names), round(share * len(names)), replace=False)
    return [names[index] for index in chosen]


def _wrong_labels(
    objects: Mapping[str, SplitObject], names: list[str], rng: np.random.Generator
) -> dict[str, str]:
    """For each of some objects another class than its own, of those that the target has."""
    classes = sorted({one.label for one in objects.values()})
    others = {name: [label for label in classes if label != objects[name].label] for name in names}
    return {name: str(rng.choice(labels)) for name, labels in others.items() if labels}


def _numbered(
    files: list[tuple[int, int, Arrival]], batches: int, rng: np.random.Generator
) -> tuple[tuple[Arrival, ...], ...]:
    """The batches; their files, and so their order of arrival, numbered through."""
    mixed = [files[index] for index in rng.permutation(len(files))]
    ordered = sorted(mixed, key=lambda file: file[:2])
    numbered = [(batch, replace(file, number=n)) for n, (batch, _, file) in enumerate(ordered)]
    return tuple(tuple(file for where, file in numbered if where == batch) for batch in range(batches))


@dataclass(frozen=True)
class Account:
    """What became of the files that have arrived.

    Attributes
    ----------
    arrived
        Files of each kind.
    labelled
        Objects in the labelled set.
    mislabelled
        Those among them whose label is wrong.
    slipped
        Damaged files and duplicates that were not refused, by their names: none should be.
    refused
        Objects' own files that were refused, and the rule that each broke.
    lost
        Files that are neither in the labelled set nor in quarantine, by their names: none should be.
    reasons
        How many of the damaged files were refused by which rule.
    duplicates
        How many of the files that arrived once more were refused.
    """

    arrived: dict[str, int]
    labelled: int
    mislabelled: int
    slipped: list[str]
    refused: dict[str, str]
    lost: list[str]
    reasons: dict[str, int]
    duplicates: int


def account(season: Season, batches: int, arrivals: Path) -> Account:
    """Hold the folders of arrivals against the first ``batches`` of a season."""
    folders = Folders(arrivals)
    due = [arrival for batch in season.batches[:batches] for arrival in batch]
    rules = {
        str(reason["file"]): str(reason["rule"])
        for reason in map(read_json, folders.quarantine.glob("*/reason.json"))
    }
    labelled = read_folder(folders.labelled) if folders.labelled.is_dir() else SequenceSet.from_sequences([])
    labels = {str(record["name"]): str(record["label"]) for record in labelled.objects}
    damaged = [arrival for arrival in due if arrival.kind == "damaged"]
    return Account(
        arrived=dict(sorted(Counter(arrival.kind for arrival in due).items())),
        labelled=len(labels),
        mislabelled=sum(1 for a in due if a.kind == "mislabelled" and labels.get(a.name) == a.label),
        slipped=[arrival.file for arrival in due if not arrival.is_own and arrival.file not in rules],
        refused={a.name: rules[a.file] for a in due if a.is_own and a.file in rules},
        lost=[a.file for a in due if a.is_own and a.file not in rules and a.name not in labels],
        reasons=dict(sorted(Counter(rules[a.file] for a in damaged if a.file in rules).items())),
        duplicates=sum(1 for a in due if a.kind == "duplicate" and a.file in rules),
    )
