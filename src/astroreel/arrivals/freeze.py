"""A new version of the frozen hold-out: what a person makes of the reserved objects.

Each version is whole by itself, a folder of files that nothing changes any more: the fold of the split that
was held out from the beginning, and every object reserved so far.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from astroreel.arrivals.folders import Folders
from astroreel.errors import UserError
from astroreel.files import file_digest, replacing_folder, write_json
from astroreel.governance.holdout import FOLDER, RECORD, SPLIT, Held, first_held, newest_held
from astroreel.parameters import Parameters
from astroreel.photometry.detection import first_detection
from astroreel.photometry.optimal import photometry
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import Split, good_seeing, windows


@dataclass(frozen=True)
class Frozen:
    """A version that was made.

    Attributes
    ----------
    version, digest
        Its number, and the digest by which verdicts name it.
    classes
        Its objects by class.
    added
        How many of them the version before did not have.
    excluded
        Reserved objects that it could not take, by name, and why.
    """

    version: int
    digest: str
    classes: dict[str, int]
    added: int
    excluded: dict[str, str]


def freeze(root: Path, parameters: Parameters, who: str, now: datetime) -> Frozen:
    """Make the next version of the hold-out of the project in ``root``.

    Raises `UserError` where nothing was reserved that the newest version does not have.
    """
    folders = Folders(root / "arrivals")
    before, first = newest_held(root, parameters), first_held(root, parameters)
    reserved = _reserved(folders, parameters)
    split = Split({**first.split.objects, **reserved.objects}, {}, [])
    new = Held(split, [*first.files, *(_file_of(folders, name) for name in reserved.objects)])
    digest = new.digest(parameters.split)
    if digest == before.digest(parameters.split):
        raise UserError(
            f"{folders.reserved}: nothing that version {before.version} of the hold-out does not have"
        )
    number = before.version + 1
    classes = dict(sorted(Counter(one.label for one in split.objects.values()).items()))
    with replacing_folder(root / FOLDER / str(number)) as scratch:
        for file in new.files:
            shutil.copyfile(file, scratch / file.name)
        split.write(scratch / SPLIT)
        record = {
            "version": number,
            "digest": digest,
            "previous": before.digest(parameters.split),
            "when": now.isoformat(timespec="seconds"),
            "who": who,
            "classes": classes,
            "objects": {name: file.name for name, file in zip(split.objects, new.files, strict=True)},
            "files": {name: file_digest(scratch / name) for name in _names(new, SPLIT)},
        }
        write_json(scratch / RECORD, record)
    added = len(split.objects.keys() - before.split.objects.keys())
    return Frozen(number, digest, classes, added, reserved.excluded)


def _reserved(folders: Folders, parameters: Parameters) -> Split:
    """The reserved objects, cut as those of the split were."""
    if not folders.reserved.is_dir():
        return Split({}, {}, [])
    config = parameters.split
    sequences = good_seeing(read_folder(folders.reserved), config)
    alerts = first_detection(photometry(sequences, parameters.preparation), sequences.epochs["seeing"])
    return windows(sequences, alerts, config, np.random.default_rng(config.seed))


def _file_of(folders: Folders, name: str) -> Path:
    place = folders.reserved / Folders.file_name(name)
    return place if place.exists() else place.with_name(f"{place.name}.gz")


def _names(held: Held, *more: str) -> list[str]:
    return [*(file.name for file in held.files), *more]
