"""The store: a folder of plain arrays that holds a whole :class:`SequenceSet`.

The second stored form beside sequence files, for sets too large for one file an object. A set too large
for memory is a folder of such folders, its shards, with a manifest that names them
(`astroreel.sequences.shards`). Plain .npy files need no library, are memory-mapped, and any one stamp is
read by itself, as training in random order needs; noise does not compress much. Stamps in whole ADU take
two bytes a pixel. None may hold Python objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.files import read_json, replacing_folder
from astroreel.sequences.compact import PackedStamps, pack
from astroreel.sequences.record import SequenceSet

#: In a folder of shards: what it holds.
MANIFEST = "manifest.json"
#: In the manifest, once all is there: the sha256 of every file, by path.
FILES = "files"
SHARD_PREFIX = "shard-"

_STAMPS = "stamps"
_ARRAYS = ("objects", "offsets", "epochs")
_TRUTH = "truth"


def save_store(path: Path, sequences: SequenceSet) -> None:
    """Write a set to the folder ``path``, whole or not at all."""
    arrays = {name: getattr(sequences, name) for name in _ARRAYS}
    arrays[_STAMPS] = pack(np.asarray(sequences.stamps))
    if sequences.truth is not None:
        arrays[_TRUTH] = sequences.truth
    with replacing_folder(path) as scratch:
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)


def load_store(path: Path) -> SequenceSet:
    """Read a set, stamps memory-mapped.

    Raises `UserError` where an array is missing or damaged, or a set of shards is not finished.
    """
    if not (path / MANIFEST).exists():
        return _load_folder(path)
    if FILES not in read_json(path / MANIFEST):
        raise UserError(f"{path}: not finished: the command that began it goes on with it")
    return SequenceSet.concatenate(_load_folder(shard) for shard in find_shards(path))


def find_shards(path: Path) -> list[Path]:
    """The shards in the folder ``path``, in order; raises `UserError` where there is none."""
    found = sorted(path.glob(f"{SHARD_PREFIX}*"))
    if not found:
        raise UserError(f"{path}: no shard of a sequence store in this folder")
    return found


def _load_folder(path: Path) -> SequenceSet:
    arrays = {name: _load(path / f"{name}.npy") for name in _ARRAYS}
    stamps = PackedStamps([_load(path / f"{_STAMPS}.npy", mmap=True)])
    truth = path / f"{_TRUTH}.npy"
    return SequenceSet(**arrays, stamps=stamps, truth=_load(truth) if truth.exists() else None)


def _load(path: Path, mmap: bool = False) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: this folder is no sequence store") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: damaged array ({error})") from error
