"""The inbox: what arrives is checked, and goes into the labelled set, to the reserved, to the unlabelled, or
into quarantine.

One file after the other, each by one rename: killed at any moment and started again, it ends as if it
had not been. What is in the folders is all that is known, so nothing can contradict it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from astroreel.arrivals.bucket import fetch
from astroreel.arrivals.folders import Folders, free
from astroreel.arrivals.known import Index, Known, content_of, known_of
from astroreel.arrivals.reserve import Reserve, read_reserve
from astroreel.arrivals.sense import check_sense
from astroreel.arrivals.status import Status, status
from astroreel.classes import UNLABELLED
from astroreel.errors import InvalidSequence, UserError
from astroreel.files import replacing_file
from astroreel.parameters import Parameters
from astroreel.sequences.file import parse_sequence
from astroreel.sequences.record import Sequence

_LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Receipt:
    """What became of one file.

    Attributes
    ----------
    file
        Its name.
    outcome
        labelled, reserved, relabelled, unlabelled or quarantined.
    name
        Of its object.
    rule, detail
        Why it was refused.
    """

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
    reserve
        Which fields are kept for the hold-out.
    watch
        A folder or bucket that `fetch` looks into, "" for none.
    """

    def __init__(self, root: Path, reserve: Reserve | None = None, watch: str = "") -> None:
        self.folders = Folders(root)
        self.reserve = reserve or Reserve()
        self.watch = watch
        self._labelled = Index(self.folders.labelled)
        self._reserved = Index(self.folders.reserved)
        self._unlabelled = Index(self.folders.unlabelled)
        self._indices = (self._labelled, self._reserved, self._unlabelled)
        self._lock = FileLock(root / ".lock", is_singleton=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that moves files; may be nested. Raises `UserError` after ten minutes' wait."""
        self.folders.root.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock.acquire(timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise UserError(
                f"{self.folders.root}: another process is taking arrivals in: wait for it"
            ) from None

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

    def fetch(self, now: datetime | None = None) -> int:
        """Copy what is new in the watched folder or bucket into the inbox; returns how many files.

        Raises `UserError` where it cannot be read.
        """
        if not self.watch:
            return 0
        with self.locked():
            return fetch(self.watch, self.folders, now or datetime.now(UTC))

    def receive(
        self, now: datetime | None = None, progress: Callable[[int, int], None] | None = None
    ) -> list[Receipt]:
        """Take in all that waits.

        Raises `UserError` as `locked`, and where a file that was taken in before is damaged.
        """
        now = now or datetime.now(UTC)
        with self.locked():
            waiting = list(self.folders.waiting())
            if waiting:
                self._look()
            receipts = []
            for done, file in enumerate(waiting, start=1):
                receipts.append(self._receive(file, now))
                if progress:
                    progress(done, len(waiting))
        return receipts

    def find(self, survey: str, name: str) -> Known | None:
        """What is known of an object."""
        return next((found for index in self._indices if (found := index.named(survey, name))), None)

    def open_questions(self, reserved: bool = False) -> list[Known]:
        """The unlabelled objects in fields that may be learned from, or in those that are reserved."""
        return [one for one in self._unlabelled.all() if self._is_reserved(one.field) == reserved]

    def labels(self) -> Counter[str]:
        """How many objects of each class may be learned from."""
        return Counter(one.label for one in self._labelled.all())

    def status(self, now: datetime | None = None) -> Status:
        """What there is."""
        now = now or datetime.now(UTC)
        return status(self.folders, self._labelled.all(), self._reserved.all(), now)

    def _look(self) -> None:
        """Read what is there; now, lest what is damaged in there be taken for a fault of what arrives."""
        for index in self._indices:
            index.refresh()
            index.all()
        self.reserve.read()

    def _receive(self, file: Path, now: datetime) -> Receipt:
        content = b""
        try:
            content = content_of(file)
            sequence = parse_sequence(content, file.name)
            check_sense(sequence, now)
            return self._take(file, sequence, now)
        except InvalidSequence as error:
            digest = hashlib.sha256(content or str(file.name).encode()).hexdigest()
            self.folders.refuse(file, error.rule, error.detail, digest, now)
            return Receipt(file.name, "quarantined", error.source, error.rule, error.detail)

    def _take(self, file: Path, sequence: Sequence, now: datetime) -> Receipt:
        new = known_of(file, sequence)
        if twin := self.reserve.twin(new):
            raise InvalidSequence(
                new.name, "held_out", f"is {twin} of the frozen hold-out, which nothing learns from"
            )
        old = self._same(new)
        if old is not None:
            _check_against(old, new)
        index = self._home(old, new)
        index.home.mkdir(parents=True, exist_ok=True)
        # In this order, so that a kill between the two leaves the newer file waiting and loses neither.
        if old is not None:
            self.folders.replace(old.file, _trace(old, new, now))
            self._forget(old)
        packed = file.name.endswith(".gz")
        place = index.home / (Folders.file_name(new.name) + (".gz" if packed else ""))
        os.utime(file, (now.timestamp(), now.timestamp()))
        os.replace(file, place)
        index.learn(known_of(place, sequence))
        relabelled = old is not None and old.label not in (UNLABELLED, new.label)
        return Receipt(file.name, "relabelled" if relabelled else index.home.name, new.name)

    def _home(self, old: Known | None, new: Known) -> Index:
        """Where a new file belongs; a labelled object stays on the side where it is."""
        if new.label == UNLABELLED:
            return self._unlabelled
        side = self._reserved if self._is_reserved(new.field) else self._labelled
        if old is not None and old.label != UNLABELLED and old.file.parent != side.home:
            raise InvalidSequence(
                new.name,
                "field",
                f"lies in {old.file.parent.name}, of field {old.field}; this says {new.field}, whose objects "
                f"belong in {side.home.name}: give it the field of before",
            )
        return side

    def _is_reserved(self, field: str) -> bool:
        return self.reserve.reserved(field, self._labelled.all(), self._reserved.all())

    def _same(self, new: Known) -> Known | None:
        """The object that a new sequence is of, if it is known."""
        return next((found for index in self._indices if (found := index.same(new))), None)

    def _forget(self, old: Known) -> None:
        for index in self._indices:
            index.forget(old)


def open_inbox(root: Path, parameters: Parameters) -> Inbox:
    """The inbox of the project in ``root``; raises `UserError` as `read_reserve`."""
    return Inbox(root / "arrivals", read_reserve(root, parameters), parameters.inbox.watch)


def _check_against(old: Known, new: Known) -> None:
    """Refuse what is known already, and a label that speaks against a better one."""
    same = f"{new.name} is {old.name}" if new.name != old.name else new.name
    surer = new.label == old.label and new.confidence > old.confidence
    if new.label in (UNLABELLED, old.label) and new.content == old.content and not surer:
        raise InvalidSequence(new.name, "duplicate", f"{same}, which is there already")
    if new.label == UNLABELLED and old.label != UNLABELLED:
        raise InvalidSequence(new.name, "duplicate", f"{same}, which is labelled {old.label} already")
    if new.label == old.label and new.epochs < old.epochs:
        raise InvalidSequence(
            new.name, "duplicate", f"{same}, which has {old.epochs} epochs already, not {new.epochs}"
        )
    if old.label not in (UNLABELLED, new.label) and (new.name != old.name or new.confidence < old.confidence):
        raise InvalidSequence(
            new.name,
            "contradiction",
            f"{same}, labelled {old.label} with confidence {old.confidence:g}; this says {new.label} "
            f"with {new.confidence:g}: give the same OBJECT and at least that LABELCNF to relabel it",
        )


def _trace(old: Known, new: Known, now: datetime) -> dict[str, Any]:
    """What took the place of a file: label, who says so and how sure, before and now."""
    kept = ("label", "source", "confidence", "epochs", "content")
    return {
        "object": old.name,
        "survey": old.survey,
        "when": now.isoformat(timespec="seconds"),
        "was": {name: getattr(old, name) for name in kept},
        "is": {name: getattr(new, name) for name in kept},
    }


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.exists():
        return [path]
    raise UserError(f"{path}: no such file or folder")
