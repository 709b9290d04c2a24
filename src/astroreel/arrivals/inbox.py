"""The inbox: what arrives is checked, and goes into the labelled set, to the unlabelled, or into quarantine.

One file after the other, each by one rename: killed at any moment and started again, it ends as if it
had not been. What is in the folders is all that is known, so nothing can contradict it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from astroreel.arrivals.folders import Folders, free
from astroreel.arrivals.sense import check_sense
from astroreel.classes import UNLABELLED
from astroreel.errors import InvalidSequence, UserError
from astroreel.files import read_json, replacing_file
from astroreel.sequences.file import SUFFIXES, parse_sequence
from astroreel.sequences.record import MAX_EPOCHS, STAMP_SIZE, Sequence
from astroreel.serving.uploads import unpack

#: No sequence file is larger: the longest series, with room for headers [byte].
LARGEST_FILE = MAX_EPOCHS * (STAMP_SIZE**2 * 4 + 256) + 1_000_000

#: Two objects closer than this are the same [arcsec].
SAME_PLACE = 1.0

_ARCSEC = 3600.0


@dataclass(frozen=True)
class Known:
    """What is to be known of a sequence that was taken in.

    Attributes
    ----------
    file
        Where it lies.
    name, survey, label
        Of its header; label "" where it has none.
    confidence
        Of the label, 1 where the header gives none.
    epochs
        How many.
    content
        Digest of its times and pixels, whatever the header says.
    ra, dec
        Position [deg], NaN where unknown.
    """

    file: Path
    name: str
    survey: str
    label: str
    confidence: float
    epochs: int
    content: str
    ra: float
    dec: float


@dataclass(frozen=True)
class Receipt:
    """What became of one file: ``outcome`` is labelled, relabelled, unlabelled or quarantined."""

    file: str
    outcome: str
    name: str = ""
    rule: str = ""
    detail: str = ""


class Inbox:
    """The inbox of one project.

    Parameters
    ----------
    root
        The folder of arrivals.
    held_out
        Names of the objects of the frozen hold-out, which must not be learned from.
    """

    def __init__(self, root: Path, held_out: Iterable[str] = ()) -> None:
        self.folders = Folders(root)
        self.held_out = frozenset(held_out)
        self._known = _Index(self.folders)

    def add(self, paths: Iterable[Path]) -> int:
        """Copy files, and the files in folders, into the inbox; returns how many.

        Raises `UserError` where a path does not exist.
        """
        files = [file for path in paths for file in _files(path)]
        for file in files:
            self.folders.inbox.mkdir(parents=True, exist_ok=True)
            with replacing_file(free(self.folders.inbox / file.name)) as scratch:
                shutil.copyfile(file, scratch)
        return len(files)

    def receive(
        self, now: datetime | None = None, progress: Callable[[int, int], None] | None = None
    ) -> list[Receipt]:
        """Take in all that waits."""
        now = now or datetime.now(UTC)
        waiting = list(self.folders.waiting())
        receipts = []
        for done, file in enumerate(waiting, start=1):
            receipts.append(self._receive(file, now))
            if progress:
                progress(done, len(waiting))
        return receipts

    def _receive(self, file: Path, now: datetime) -> Receipt:
        content = b""
        try:
            content = _content(file)
            sequence = parse_sequence(content, file.name)
            check_sense(sequence, now)
            return self._take(file, sequence)
        except InvalidSequence as error:
            digest = hashlib.sha256(content or str(file.name).encode()).hexdigest()
            self.folders.refuse(file, error.rule, error.detail, digest, now.isoformat(timespec="seconds"))
            return Receipt(file.name, "quarantined", rule=error.rule, detail=error.detail)

    def _take(self, file: Path, sequence: Sequence) -> Receipt:
        new = _known(file, sequence)
        if new.name in self.held_out:
            raise InvalidSequence(
                new.name, "held_out", "belongs to the frozen hold-out, which nothing learns from"
            )
        old = self._known.same(new)
        if old is not None:
            self._check_against(old, new)
        home = self.folders.labelled if new.label != UNLABELLED else self.folders.unlabelled
        home.mkdir(parents=True, exist_ok=True)
        # In this order, so that a kill between the two leaves the newer file waiting and loses neither.
        if old is not None:
            self.folders.replace(old.file)
            self._known.forget(old)
        packed = file.name.endswith(".gz")
        place = home / (Folders.file_name(new.name) + (".gz" if packed else ""))
        os.replace(file, place)
        self._known.learn(_known(place, sequence))
        relabelled = old is not None and old.label not in (UNLABELLED, new.label)
        return Receipt(file.name, "relabelled" if relabelled else home.name, new.name)

    @staticmethod
    def _check_against(old: Known, new: Known) -> None:
        """Refuse what is known already, and a label that speaks against a better one."""
        same = f"{new.name} is {old.name}" if new.name != old.name else new.name
        if new.label in (UNLABELLED, old.label) and new.content == old.content:
            raise InvalidSequence(new.name, "duplicate", f"{same}, which is there already")
        if new.label == UNLABELLED and old.label != UNLABELLED:
            raise InvalidSequence(new.name, "duplicate", f"{same}, which is labelled {old.label} already")
        if new.label == old.label and new.epochs < old.epochs:
            raise InvalidSequence(
                new.name, "duplicate", f"{same}, which has {old.epochs} epochs already, not {new.epochs}"
            )
        if old.label not in (UNLABELLED, new.label) and (
            new.name != old.name or new.confidence < old.confidence
        ):
            raise InvalidSequence(
                new.name,
                "contradiction",
                f"{same}, labelled {old.label} with confidence {old.confidence:g}; this says {new.label} "
                f"with {new.confidence:g}: give the same OBJECT and at least that LABELCNF to relabel it",
            )

    def status(self, now: datetime | None = None) -> Status:
        """What there is."""
        now = now or datetime.now(UTC)
        labelled = [known for known in self._known.all() if known.label != UNLABELLED]
        reasons = Counter(read_json(file)["rule"] for file in self.folders.quarantine.glob("*/reason.json"))
        newest = max((known.file.stat().st_mtime for known in labelled), default=None)
        return Status(
            labelled=dict(sorted(Counter(known.label for known in labelled).items())),
            quarantined=dict(sorted(reasons.items())),
            unlabelled=len(self._known.all()) - len(labelled),
            waiting=sum(1 for _ in self.folders.waiting()),
            newest_age_days=None if newest is None else (now.timestamp() - newest) / 86_400.0,
        )


@dataclass(frozen=True)
class Status:
    """What there is: counts by class and by the rule that was broken, and the age of the newest label."""

    labelled: dict[str, int]
    quarantined: dict[str, int]
    unlabelled: int
    waiting: int
    newest_age_days: float | None


class _Index:
    """What is taken in, by name, by content and by place; read from the folders once."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._by_name: dict[tuple[str, str], Known] | None = None

    def all(self) -> list[Known]:
        return list(self._names().values())

    def same(self, new: Known) -> Known | None:
        """The object that a new sequence is of, if it is known."""
        names = self._names()
        if (new.survey, new.name) in names:
            return names[new.survey, new.name]
        for known in names.values():
            if known.content == new.content or _apart(known, new) < SAME_PLACE:
                return known
        return None

    def learn(self, known: Known) -> None:
        self._names()[known.survey, known.name] = known

    def forget(self, known: Known) -> None:
        self._names().pop((known.survey, known.name), None)

    def _names(self) -> dict[tuple[str, str], Known]:
        if self._by_name is None:
            homes = (self.folders.unlabelled, self.folders.labelled)
            files = [f for home in homes for f in sorted(home.glob("*")) if f.name.endswith(SUFFIXES)]
            found = [_known(file, parse_sequence(_content(file), file.name)) for file in files]
            self._by_name = {(known.survey, known.name): known for known in found}
        return self._by_name


def _known(file: Path, sequence: Sequence) -> Known:
    header = sequence.header
    digest = hashlib.sha256(sequence.epochs["mjd"].tobytes())
    digest.update(np.nan_to_num(sequence.stamps).tobytes())
    confidence = float(header["label_confidence"])
    return Known(
        file=file,
        name=sequence.name,
        survey=str(header["survey"]),
        label=sequence.label,
        confidence=1.0 if np.isnan(confidence) else confidence,
        epochs=len(sequence),
        content=digest.hexdigest(),
        ra=float(header["ra"]),
        dec=float(header["dec"]),
    )


def _apart(a: Known, b: Known) -> float:
    """Angle between two objects [arcsec]; NaN where a position is unknown."""
    east = (a.ra - b.ra) * np.cos(np.radians(0.5 * (a.dec + b.dec)))
    return float(np.hypot((east + 180.0) % 360.0 - 180.0, a.dec - b.dec) * _ARCSEC)


def _content(file: Path) -> bytes:
    """The bytes of a file, unpacked, never more than a sequence can have."""
    if file.is_symlink() or not file.is_file():
        raise InvalidSequence(file.name, "no_file", "is a link or a device, expected a file")
    if not file.name.endswith(SUFFIXES):
        raise InvalidSequence(file.name, "suffix", f"expected a name that ends in {' or '.join(SUFFIXES)}")
    if file.stat().st_size > LARGEST_FILE:
        raise InvalidSequence(
            file.name, "size", f"has {file.stat().st_size} bytes, expected at most {LARGEST_FILE}"
        )
    return unpack(file.read_bytes(), file.name, LARGEST_FILE)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.exists():
        return [path]
    raise UserError(f"{path}: no such file or folder")
