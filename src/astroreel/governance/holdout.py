"""The frozen hold-out: the target's labelled objects in fields that the registered models never saw.

Version 1 is the fold of the split that `registry.fold` names. Every later one is a folder that a person made
of that fold and of the objects that were reserved since: all its files, and a record with their digests.
The gate reads the newest and classifies its objects anew from their files, so that no figure need be
believed; the digest tells whether two verdicts are about the same objects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import class_indices
from astroreel.errors import UserError
from astroreel.files import file_digest, read_json
from astroreel.parameters import Parameters
from astroreel.sequences.file import read_sequence
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, cut

#: Where the later versions are, a folder each, named by its number.
FOLDER = Path("arrivals", "holdout")
#: What is in such a folder beside the sequence files.
SPLIT, RECORD = "split.json", "record.json"


@dataclass(frozen=True)
class HoldOut:
    """N labelled objects that no registered model has learned from.

    Attributes
    ----------
    target
        The target domain that they are of.
    sequences
        Cut to their windows.
    digest
        Hexadecimal sha256 of names, labels, windows and files.
    version
        1, or the number of the folder that it was frozen in.
    """

    target: str
    sequences: SequenceSet
    digest: str
    version: int = 1

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) positions in CLASSES."""
        return class_indices(self.sequences.labels)

    @property
    def fields(self) -> NDArray[np.str_]:
        """(N,) the field of each object."""
        return self.sequences.objects["field"]

    def shared(self, names: Iterable[str], fields: Iterable[str]) -> list[str]:
        """Which of some objects, or of the fields that they lie in, are held out."""
        held = {*self.sequences.objects["name"].tolist(), *self.fields.tolist()}
        return sorted(held.intersection([*names, *fields]))


@dataclass(frozen=True)
class Held:
    """What is held out, before any file is read.

    Attributes
    ----------
    split
        The objects, their fields and windows.
    files
        Where each object of it lies, in its order.
    version
        Of the hold-out.
    """

    split: Split
    files: list[Path]
    version: int = 1

    @property
    def fields(self) -> set[str]:
        """The fields in which anything is held out."""
        return {one.field for one in self.split.objects.values()}

    def digest(self, config: SplitConfig) -> str:
        """Hexadecimal sha256 of names, labels, windows and files."""
        content = {
            "objects": {name: asdict(one) for name, one in self.split.objects.items()},
            "files": [file_digest(file) for file in self.files],
            "max_seeing": config.max_seeing,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def first_held(root: Path, parameters: Parameters) -> Held:
    """Version 1, perhaps of no object; raises `UserError` where there is no split."""
    split = Split.read(root / "data" / "split.json")
    fold = parameters.registry.fold
    held = {name: one for name, one in split.objects.items() if one.fold == fold}
    return Held(Split(held, {}, []), [root / "data" / "target" / f"{name}.fits" for name in held])


def newest_held(root: Path, parameters: Parameters) -> Held:
    """The newest version.

    Raises `UserError` where there is no split, or the newest version is not as it was frozen.
    """
    numbers = [int(folder.name) for folder in (root / FOLDER).glob("*") if folder.name.isdecimal()]
    return _frozen(root / FOLDER, max(numbers)) if numbers else first_held(root, parameters)


def read_holdout(root: Path, parameters: Parameters) -> HoldOut:
    """Read the hold-out of the project in ``root``.

    Raises `UserError` where the target has no labelled objects or a file is missing or damaged.
    """
    target, held = parameters.source.target, newest_held(root, parameters)
    if not held.split.objects:
        raise UserError(f"{target}: no labelled objects are held out, so nothing of it can be gated")
    sequences = cut(SequenceSet.from_sequences(map(read_sequence, held.files)), held.split, parameters.split)
    return HoldOut(target, sequences, held.digest(parameters.split), held.version)


def _frozen(versions: Path, number: int) -> Held:
    folder = versions / str(number)
    split, record = Split.read(folder / SPLIT), read_json(folder / RECORD)
    for file, digest in record["files"].items():
        if not (folder / file).is_file() or file_digest(folder / file) != digest:
            raise UserError(f"{folder / file}: not the file that was frozen: restore it")
    return Held(split, [folder / record["objects"][name] for name in split.objects], number)
