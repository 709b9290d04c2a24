"""The frozen hold-out: the target's labelled objects in fields that the registered models never saw.

They are the fold of the split that `registry.fold` names. The gate classifies them anew from their files, so
that no figure need be believed; the digest tells whether two verdicts are about the same objects.
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
from astroreel.files import file_digest
from astroreel.parameters import Parameters
from astroreel.sequences.file import read_sequence
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, cut


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
    """

    target: str
    sequences: SequenceSet
    digest: str

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


def read_holdout(root: Path, parameters: Parameters) -> HoldOut:
    """Read the hold-out of the project in ``root``.

    Raises `UserError` where the target has no labelled objects or a file is missing or damaged.
    """
    target, folder = parameters.source.target, root / "data" / "target"
    split = Split.read(root / "data" / "split.json")
    fold = parameters.registry.fold
    held = Split({name: one for name, one in split.objects.items() if one.fold == fold}, {}, [])
    if not held.objects:
        raise UserError(f"{target}: no labelled objects are held out, so nothing of it can be gated")
    files = [folder / f"{name}.fits" for name in held.objects]
    sequences = cut(SequenceSet.from_sequences(map(read_sequence, files)), held, parameters.split)
    return HoldOut(target, sequences, _digest(held, files, parameters.split))


def _digest(split: Split, files: list[Path], config: SplitConfig) -> str:
    content = {
        "objects": {name: asdict(one) for name, one in split.objects.items()},
        "files": [file_digest(file) for file in files],
        "max_seeing": config.max_seeing,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
