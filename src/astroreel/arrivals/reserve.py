"""Who may learn from an object, decided by its field once and for ever: the model, or only its judge.

Objects of one field share its nights, its sky and its noise, so a field is reserved whole. A field of the
hold-out is reserved and one of the split's other folds is not; any other goes by a hash of its name, which
depends on nothing that can change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from astroreel.arrivals.known import Known, known_of, read_arrival, same
from astroreel.governance.holdout import first_held, newest_held
from astroreel.parameters import Parameters
from astroreel.sequences.split import Split


@dataclass(frozen=True)
class Reserve:
    """Which fields are reserved.

    Attributes
    ----------
    share
        Share of the new fields that are.
    held, free
        Fields that are held out already, and fields that are learned from already.
    files
        Objects that are held out already and are no arrivals: their files by name.
    """

    share: float = 0.0
    held: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    files: Mapping[str, Path] = field(default_factory=dict)

    def reserved(self, name: str, arrived: Iterable[Known] = (), reserved: Iterable[Known] = ()) -> bool:
        """Whether a field is reserved, given what arrived before: what may be learned from, and what not."""
        if name in self.held or any(one.field == name for one in reserved):
            return True
        if name in self.free or any(one.field == name for one in arrived):
            return False
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) < self.share * 2**64

    def twin(self, new: Known) -> str:
        """The name of the held-out object that a new sequence is of, "" for none."""
        if new.name in self.files:
            return new.name
        found = same(self._objects, new)
        return found.name if found else ""

    def read(self) -> int:
        """Read `files`, once; returns how many are there. Raises `InvalidSequence` where one is damaged."""
        return len(self._objects)

    @cached_property
    def _objects(self) -> list[Known]:
        return [known_of(file, read_arrival(file)) for file in self.files.values() if file.exists()]


def read_reserve(root: Path, parameters: Parameters) -> Reserve:
    """What is reserved in the project in ``root``; before its first split only what the hash says.

    Raises `UserError` where the hold-out is not as it was frozen.
    """
    file = root / "data" / "split.json"
    if not file.exists():
        return Reserve(parameters.inbox.reserve)
    first, newest = first_held(root, parameters), newest_held(root, parameters)
    held = first.fields | newest.fields
    free = {one.field for one in Split.read(file).objects.values()} - held
    files = dict(zip(first.split.objects, first.files, strict=True))
    return Reserve(parameters.inbox.reserve, frozenset(held), frozenset(free), files)
