"""Read a pickled numpy array without running what else a pickle can hold.

The public HiTS files are .npy files whose payload is a Python 2 pickle. The unpickler here knows the
three names that rebuild an array and refuses every other, so that a crafted file can run nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray

from astroreel.errors import InvalidSequence

_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ADMITTED[_module, "_reconstruct"] = multiarray._reconstruct


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}") from None


def read_pickled_array(path: Path) -> Any:
    """The object inside a 0-d object .npy file: numpy arrays in plain containers, nothing else.

    Raises `InvalidSequence` where the file is damaged or its pickle names anything but numpy arrays.
    """
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f".npy version {version}, expected (1, 0)")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            if shape != () or dtype != np.dtype(object):
                raise ValueError(f"array of {dtype} with shape {shape}, expected one object")
            return _ArrayUnpickler(stream, encoding="latin1").load().item()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InvalidSequence(str(path), "unreadable", f"not a pickled numpy array ({error})") from error
