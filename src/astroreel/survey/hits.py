"""Observing conditions of the HiTS 2015 campaign, from the files that its authors published."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from astroreel.errors import UserError
from astroreel.survey.conditions import CONDITIONS_DTYPE, ConditionsTable

_COLUMNS = {
    "mjd": "MJD",
    "exptime": "EXP_TIME",
    "seeing": "SEEING",
    "airmass": "AIRMASS",
    "sky": "BACK_LEVEL",
    "zp": "ZP_PS",
    "limmag": "LIMIT_MAG_EA5",
}


def read_hits_conditions(source: Path) -> ConditionsTable:
    """All exposures under ``source/real_obs/Blind15A_info`` whose row is complete.

    Three g-band rows of field 25 lack the PanSTARRS zero point and are left out. Raises `UserError`
    where the folder is missing or holds no such file.
    """
    folder = source / "real_obs" / "Blind15A_info"
    files = sorted(folder.glob("Blind15A_??_??_?.npy"))
    if not files:
        raise UserError(f"{folder}: no Blind15A_FF_EE_b.npy files: this is no HiTS source folder")
    rows = [row for file in files if (row := _read_row(file)) is not None]
    return ConditionsTable(np.array(rows, dtype=CONDITIONS_DTYPE))


def _read_row(file: Path) -> tuple[object, ...] | None:
    try:
        record = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: damaged conditions file ({error})") from error
    if any(name not in record.dtype.names for name in _COLUMNS.values()):
        return None
    values = {name: float(record[column]) for name, column in _COLUMNS.items()}
    if not np.isfinite(list(values.values())).all():
        return None
    campaign, field, _, band = file.stem.split("_")
    values_or_text: dict[str, object] = {**values, "band": band, "field": f"{campaign}_{field}"}
    return tuple(values_or_text[name] for name in CONDITIONS_DTYPE.names or ())
