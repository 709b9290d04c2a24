"""Observing conditions: one row an exposure of a field (thesis Table 3.1, lower half)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.recfunctions import repack_fields
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.files import replacing_file

#: One row an exposure. Units: d, -, s, arcsec (FWHM), -, ADU/pixel, mag, mag (5 sigma).
EPOCH_DTYPE = np.dtype(
    [
        ("mjd", "f8"),
        ("band", "U4"),
        ("exptime", "f8"),
        ("seeing", "f8"),
        ("airmass", "f8"),
        ("sky", "f8"),
        ("zp", "f8"),
        ("limmag", "f8"),
    ]
)

#: An exposure and the field it is of.
CONDITIONS_DTYPE = np.dtype([*EPOCH_DTYPE.descr, ("field", "U24")])

_NUMBERS = tuple(name for name in EPOCH_DTYPE.names or () if name != "band")
_LEAST = {"exptime": 0.0, "seeing": 0.0, "sky": 0.0}


@dataclass(frozen=True)
class ConditionsTable:
    """Whole exposures of many fields.

    Seeing, sky, zero point and depth go together, and so do the exposures of one field: draw whole
    fields, never single values.

    Attributes
    ----------
    rows
        (M,) of :data:`CONDITIONS_DTYPE`. Columns may come in any order, further ones are dropped.

    Raises
    ------
    UserError
        A column is missing or holds a value that it may not, or a field has two exposures in one
        band at the same instant.
    """

    rows: NDArray[np.void]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _checked(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, sorted."""
        return tuple(str(name) for name in np.unique(self.rows["field"]))

    def select_band(self, band: str) -> ConditionsTable:
        """The exposures in one band; raises `UserError` where there is none."""
        chosen = self.rows["band"] == band
        if not chosen.any():
            bands = ", ".join(np.unique(self.rows["band"]))
            raise UserError(f"conditions: no exposure in band {band!r}: choose from {bands}")
        return ConditionsTable(self.rows[chosen])

    def max_seeing(self, limit: float) -> ConditionsTable:
        """The exposures with a seeing of at most ``limit`` [arcsec] (thesis: 2.0)."""
        return ConditionsTable(self.rows[self.rows["seeing"] <= limit])

    def field(self, name: str) -> NDArray[np.void]:
        """The exposures of one field, (T,) of :data:`EPOCH_DTYPE`, sorted by time.

        Raises `UserError` for an unknown field.
        """
        rows = self.rows[self.rows["field"] == name]
        if not len(rows):
            raise UserError(f"conditions: no field {name!r} among the {len(self.fields)} in the table")
        return repack_fields(rows[np.argsort(rows["mjd"])][list(EPOCH_DTYPE.names or ())])

    @classmethod
    def read(cls, path: Path) -> ConditionsTable:
        """Read an ECSV file; raises `UserError` naming the file and what is wrong with it."""
        from astropy.table import Table

        try:
            table = Table.read(path, format="ascii.ecsv")
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except Exception as error:
            raise UserError(f"{path}: not an ECSV table ({str(error).splitlines()[0]})") from error
        try:
            return cls(table.as_array())
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def write(self, path: Path) -> None:
        """Write an ECSV file, whole or not at all."""
        from astropy.table import Table

        with replacing_file(path) as scratch:
            Table(self.rows).write(scratch, format="ascii.ecsv")


def _checked(rows: NDArray[np.void]) -> NDArray[np.void]:
    present = rows.dtype.names or ()
    checked = np.empty(len(rows), CONDITIONS_DTYPE)
    for name in CONDITIONS_DTYPE.names or ():
        if name not in present:
            required = ", ".join(CONDITIONS_DTYPE.names or ())
            raise UserError(f"conditions: column {name!r} is missing: required are {required}")
        checked[name] = _numbers(name, rows[name]) if name in _NUMBERS else _text(name, rows[name])
    _check_no_repeats(checked)
    return checked


def _numbers(name: str, values: NDArray[np.void]) -> NDArray[np.float64]:
    """A column of numbers, what is masked being NaN; raises `UserError` for one that may not be."""
    try:
        numbers = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    except (TypeError, ValueError):
        raise UserError(f"conditions: column {name!r} must hold numbers, not {values.dtype}") from None
    least = _LEAST.get(name, -np.inf)
    wrong = ~(np.isfinite(numbers) & (numbers > least))
    if wrong.any():
        rule = "finite" if least == -np.inf else f"finite and above {least:g}"
        where = int(np.argmax(wrong))
        raise UserError(f"conditions: column {name!r} must be {rule}: row {where} holds {numbers[where]}")
    return numbers


def _text(name: str, values: NDArray[np.void]) -> NDArray[np.str_]:
    """A column of text; raises `UserError` for one that would have to be cut."""
    text = np.ma.filled(np.ma.asarray(values).astype(str), "")
    longest = CONDITIONS_DTYPE[name].itemsize // np.dtype("U1").itemsize
    wrong = (np.char.str_len(text) > longest) | (text == "")
    if wrong.any():
        where = int(np.argmax(wrong))
        raise UserError(
            f"conditions: column {name!r} must have 1 to {longest} characters: "
            f"row {where} holds {str(text[where])!r}"
        )
    return text


def _check_no_repeats(rows: NDArray[np.void]) -> None:
    unique, first = np.unique(rows[["field", "band", "mjd"]], return_index=True)
    if len(unique) < len(rows):
        where = int(np.setdiff1d(np.arange(len(rows)), first)[0])
        raise UserError(
            f"conditions: column 'mjd' must not repeat within a field and band: row {where} of field "
            f"{str(rows['field'][where])!r} holds {rows['mjd'][where]} again"
        )
