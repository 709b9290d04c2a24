"""What is known of the sequences that were taken in: by name, by content and by place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astroreel.arrivals.folders import Folders
from astroreel.errors import InvalidSequence
from astroreel.sequences.file import SUFFIXES, parse_sequence
from astroreel.sequences.record import MAX_EPOCHS, STAMP_SIZE, Sequence
from astroreel.serving.uploads import unpack

#: No sequence file is larger: the longest series, with room for headers [byte].
LARGEST_FILE = MAX_EPOCHS * (STAMP_SIZE**2 * 4 + 256) + 1_000_000

#: Two objects closer than this are the same [arcsec].
SAME_PLACE = 1.0

_ARCSEC = 3600.0

#: Tells a file that was changed: its time, size and number.
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Known:
    """What is to be known of a sequence that was taken in.

    Attributes
    ----------
    file
        Where it lies.
    name, survey, field, label
        Of its header; label "" where it has none.
    source, confidence
        Of the label: who says so, and how sure; 1 where the header gives none.
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
    field: str
    label: str
    source: str
    confidence: float
    epochs: int
    content: str
    ra: float
    dec: float


class Index:
    """What lies in a folder, one entry an object; a file is read again only where it was changed.

    Parameters
    ----------
    home
        The folder, which need not be there yet.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._files: dict[Path, tuple[_Stamp, Known]] = {}
        self._by_name: dict[tuple[str, str], Known] | None = None

    def refresh(self) -> None:
        """Look into the folder anew: another process may have moved files since."""
        self._by_name = None

    def all(self) -> list[Known]:
        return list(self._names().values())

    def named(self, survey: str, name: str) -> Known | None:
        return self._names().get((survey, name))

    def same(self, new: Known) -> Known | None:
        """The object that a new sequence is of, if it is known."""
        return self.named(new.survey, new.name) or same(self._names().values(), new)

    def learn(self, known: Known) -> None:
        self._names()[known.survey, known.name] = known

    def forget(self, known: Known) -> None:
        self._names().pop((known.survey, known.name), None)

    def _names(self) -> dict[tuple[str, str], Known]:
        if self._by_name is None:
            stamps = {file: _stamp(file) for file in Folders.sequences(self.home)}
            self._files = {file: (stamp, self._read(file, stamp)) for file, stamp in stamps.items()}
            self._by_name = {(known.survey, known.name): known for _, known in self._files.values()}
        return self._by_name

    def _read(self, file: Path, stamp: _Stamp) -> Known:
        before = self._files.get(file)
        return before[1] if before and before[0] == stamp else known_of(file, read_arrival(file))


def same(known: Iterable[Known], new: Known) -> Known | None:
    """Which of some objects has the pixels or the place of a new one."""
    return next((one for one in known if one.content == new.content or _at_one_place(one, new)), None)


def known_of(file: Path, sequence: Sequence) -> Known:
    """What is to be known of a sequence that lies in ``file``."""
    header = sequence.header
    digest = hashlib.sha256(sequence.epochs["mjd"].tobytes())
    digest.update(np.nan_to_num(sequence.stamps).tobytes())
    confidence = float(header["label_confidence"])
    return Known(
        file=file,
        name=sequence.name,
        survey=str(header["survey"]),
        field=str(header["field"]),
        label=sequence.label,
        source=str(header["label_source"]),
        confidence=1.0 if np.isnan(confidence) else confidence,
        epochs=len(sequence),
        content=digest.hexdigest(),
        ra=float(header["ra"]),
        dec=float(header["dec"]),
    )


def read_arrival(file: Path) -> Sequence:
    """The sequence in a file; raises `InvalidSequence` where it is none by contract 1."""
    return parse_sequence(content_of(file), file.name)


def content_of(file: Path) -> bytes:
    """The bytes of a file, unpacked, never more than a sequence can have; raises `InvalidSequence`."""
    if file.is_symlink() or not file.is_file():
        raise InvalidSequence(file.name, "no_file", "is a link or a device, expected a file")
    if not file.name.endswith(SUFFIXES):
        raise InvalidSequence(file.name, "suffix", f"expected a name that ends in {' or '.join(SUFFIXES)}")
    check_size(file.name, file.stat().st_size)
    return unpack(file.read_bytes(), file.name, LARGEST_FILE)


def check_size(name: str, size: int) -> None:
    """Raise `InvalidSequence` where a file is larger than any sequence."""
    if size > LARGEST_FILE:
        raise InvalidSequence(name, "size", f"has {size} bytes, expected at most {LARGEST_FILE}")


def _stamp(file: Path) -> _Stamp:
    state = file.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


def _at_one_place(a: Known, b: Known) -> bool:
    """Whether two objects are the same by their places; not where one is unknown (NaN)."""
    north = (a.dec - b.dec) * _ARCSEC
    if not abs(north) < SAME_PLACE:
        return False
    east = ((a.ra - b.ra + 180.0) % 360.0 - 180.0) * _ARCSEC
    return math.hypot(east * math.cos(math.radians(a.dec)), north) < SAME_PLACE
