"""The store: a folder of plain arrays that holds a whole :class:`SequenceSet`.

The second stored form beside sequence files, for sets too large for one file an object. Arrays are
memory-mapped when read, and none may hold Python objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.files import replacing_folder
from astroreel.sequences.record import SequenceSet

_ARRAYS = ("objects", "offsets", "stamps", "epochs")


def save_store(path: Path, sequences: SequenceSet) -> None:
    """Write a set to the folder ``path``, whole or not at all."""
    with replacing_folder(path) as scratch:
        for name in _ARRAYS:
            np.save(scratch / f"{name}.npy", getattr(sequences, name), allow_pickle=False)
        if sequences.truth is not None:
            np.save(scratch / "truth.npy", sequences.truth, allow_pickle=False)


def load_store(path: Path) -> SequenceSet:
    """Read a set, stamps memory-mapped; raises `UserError` where an array is missing or damaged."""
    arrays = {name: _load(path / f"{name}.npy", mmap=name == "stamps") for name in _ARRAYS}
    truth = path / "truth.npy"
    return SequenceSet(**arrays, truth=_load(truth) if truth.exists() else None)


def _load(path: Path, mmap: bool = False) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: this folder is no sequence store") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: damaged array ({error})") from error
