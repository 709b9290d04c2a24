"""Where arrivals are: a folder each for what waits, is labelled, is not, was replaced, or was refused.

A file belongs where it lies, and moves by one rename; so there is nothing to be out of step with, and
nothing is ever deleted.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from astroreel.files import write_json
from astroreel.sequences.file import SUFFIXES

_PLAIN = re.compile(r"[^A-Za-z0-9+-]+")
_LONGEST = 80


@dataclass(frozen=True)
class Folders:
    """The folders of arrivals below ``root``.

    Attributes
    ----------
    root
        Where they are.
    """

    root: Path

    @property
    def inbox(self) -> Path:
        """What waits."""
        return self.root / "inbox"

    @property
    def labelled(self) -> Path:
        """The labelled set, versioned by DVC: one sequence file an object."""
        return self.root / "labelled"

    @property
    def unlabelled(self) -> Path:
        """Sequences that nobody has labelled yet."""
        return self.root / "unlabelled"

    @property
    def reserved(self) -> Path:
        """Labelled sequences that are kept for the hold-out, which nothing may learn from."""
        return self.root / "reserved"

    @property
    def replaced(self) -> Path:
        """Files whose object has another label now, each beside what took its place."""
        return self.root / "replaced"

    @property
    def quarantine(self) -> Path:
        """Files that were refused, each in a folder with its reason.json."""
        return self.root / "quarantine"

    def waiting(self) -> Iterator[Path]:
        """All that waits, files and links at any depth, in order of their names."""
        if self.inbox.is_dir():
            for folder, folders, files in os.walk(self.inbox):
                folders.sort()
                yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))

    def refuse(self, file: Path, rule: str, detail: str, digest: str, when: datetime) -> Path:
        """Move a file into quarantine beside its reason; returns the folder."""
        folder = self.note(file.name, rule, detail, digest, when)
        os.replace(file, folder / "file")
        return folder

    def note(self, name: str, rule: str, detail: str, digest: str, when: datetime) -> Path:
        """Note in quarantine why something of this name is not taken in; returns the folder of the note."""
        folder = free(self.quarantine / f"{digest[:16]}-{plain(name)}")
        folder.mkdir(parents=True)
        reason = {"file": name, "rule": rule, "detail": detail, "sha256": digest}
        write_json(folder / "reason.json", reason | {"when": when.isoformat(timespec="seconds")})
        return folder

    def replace(self, file: Path, trace: dict[str, Any]) -> None:
        """Put a file away that another takes the place of, beside a ``trace`` of what and when."""
        place = free(self.replaced / file.name)
        write_json(place.with_name(f"{place.name}.json"), trace)
        os.replace(file, place)

    @staticmethod
    def sequences(home: Path) -> list[Path]:
        """The sequence files in a folder, which need not be there, in order of their names."""
        return [file for file in sorted(home.glob("*")) if file.name.endswith(SUFFIXES)]

    @staticmethod
    def file_name(name: str) -> str:
        """The file of an object: readable, its own, and safe on any file system."""
        return f"{plain(name)[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.fits"


def free(path: Path) -> Path:
    """The path, or the first of path-2, path-3 and so on at which there is nothing."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def plain(text: str) -> str:
    """Letters, digits, plus and minus of a text, the rest an underscore."""
    return _PLAIN.sub("_", text)[:_LONGEST].strip("_") or "unnamed"
