"""The labelled set as the schedule sees it: each file read once, and when it was first seen."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from astroreel.errors import UserError
from astroreel.files import file_digest, read_json, write_json
from astroreel.schedule.home import Home


@dataclass(frozen=True)
class Label:
    """A labelled file.

    Attributes
    ----------
    name, label, field
        Of its object.
    confidence
        Of the label, from 0 to 1; 1 where the file gives none.
    sha256
        Of the file.
    since
        When the schedule first saw it as it is, ISO 8601.
    size, mtime_ns
        By which a changed file is told without reading it.
    """

    name: str
    label: str
    field: str
    confidence: float
    sha256: str
    since: str
    size: int
    mtime_ns: int


#: Labelled files by their names.
Labels = Mapping[str, Label]


def read_labels(home: Home, folder: Path, now: datetime) -> Labels:
    """The labelled set in ``folder``; only files that are new or changed are read.

    Raises `UserError` where one of them is damaged.
    """
    known = _known(home.labels)
    labels = {}
    for file in sorted(path for path in folder.glob("[!.]*") if path.is_file()):
        status, before = file.stat(), known.get(file.name)
        if before is None or (before.size, before.mtime_ns) != (status.st_size, status.st_mtime_ns):
            labels[file.name] = _read(file, before, now)
        else:
            labels[file.name] = before
    if labels != known:
        write_json(home.labels, {name: asdict(label) for name, label in labels.items()})
    return labels


def digest_of(labels: Labels) -> str:
    """Hexadecimal sha256 over the files' names and contents."""
    content = sorted((name, label.sha256) for name, label in labels.items())
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def counts(labels: Iterable[Label]) -> dict[str, int]:
    """How many there are of each class, by its name."""
    return dict(sorted(Counter(label.label for label in labels).items()))


def unseen(labels: Labels, seen: Mapping[str, str]) -> Labels:
    """What differs from a set that was seen, the sha256 of its files by their names."""
    return {name: label for name, label in labels.items() if seen.get(name) != label.sha256}


def _known(path: Path) -> dict[str, Label]:
    try:
        return {name: Label(**one) for name, one in read_json(path).items()} if path.exists() else {}
    except (UserError, TypeError, AttributeError):
        return {}  # no more than a memory: the files are read again


def _read(file: Path, before: Label | None, now: datetime) -> Label:
    from astroreel.sequences.file import read_sequence  # reads FITS, which a tick without news need not

    status, digest, header = file.stat(), file_digest(file), read_sequence(file).header
    confidence = float(header["label_confidence"])
    same = before is not None and before.sha256 == digest
    return Label(
        name=str(header["name"]),
        label=str(header["label"]),
        field=str(header["field"]),
        confidence=confidence if confidence == confidence else 1.0,
        sha256=digest,
        since=before.since if before and same else now.isoformat(timespec="seconds"),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
