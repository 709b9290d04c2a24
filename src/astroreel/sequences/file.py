"""The sequence file: one object as FITS (contract 1). What arrives, and what `classify` reads.

Primary header, an image extension STAMPS and a binary table EPOCHS. Whatever departs from the
contract is refused by :class:`~astroreel.errors.InvalidSequence`, naming file, rule and value.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from astroreel.classes import CLASSES, UNLABELLED
from astroreel.errors import InvalidSequence, UserError
from astroreel.files import replacing_file
from astroreel.sequences.record import (
    EPOCH_DTYPE,
    MAX_EPOCHS,
    MIN_EPOCHS,
    OBJECT_DTYPE,
    STAMP_SIZE,
    Sequence,
    SequenceSet,
)

SEQUENCE_VERSION = 1
SUFFIXES = (".fits", ".fits.gz")

#: Header keyword -> field of OBJECT_DTYPE.
_REQUIRED = {
    "OBJECT": "name",
    "SURVEY": "survey",
    "FIELD": "field",
    "PIXSCALE": "pixscale",
    "GAIN": "gain",
    "RDNOISE": "rdnoise",
    "SATURATE": "saturate",
}
_OPTIONAL = {
    "LABEL": "label",
    "CCD": "ccd",
    "RA": "ra",
    "DEC": "dec",
    "LABELSRC": "label_source",
    "LABELCNF": "label_confidence",
}
_POSITIVE = ("pixscale", "gain", "saturate")
#: Smallest and largest value of each column of EPOCHS; the bounds are physical, not those of a survey.
_EPOCH_BOUNDS = {
    "mjd": (15_000.0, 120_000.0),
    "exptime": (1e-3, 1e5),
    "seeing": (1e-2, 30.0),
    "airmass": (0.99, 40.0),
    "sky": (-1e6, 1e7),
    "zp": (0.0, 50.0),
    "limmag": (0.0, 50.0),
}


def write_sequence(path: Path, sequence: Sequence) -> None:
    """Validate one sequence and write it to ``path``, whole or not at all."""
    validate(sequence, str(path))
    header = fits.Header()
    record = sequence.header
    for keyword, name in {**_REQUIRED, **_OPTIONAL}.items():
        value = record[name].item()
        if keyword in _REQUIRED or _given(value):
            header[keyword] = value
    header["SEQVER"] = SEQUENCE_VERSION
    columns = {name.upper(): sequence.epochs[name] for name in EPOCH_DTYPE.names or ()}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, _fits_format(values), array=values) for name, values in columns.items()],
        name="EPOCHS",
    )
    stamps = fits.ImageHDU(np.ascontiguousarray(sequence.stamps, dtype=np.float32), name="STAMPS")
    with replacing_file(path) as scratch:
        fits.HDUList([fits.PrimaryHDU(header=header), stamps, table]).writeto(scratch)


def read_sequence(path: Path) -> Sequence:
    """Read and validate one sequence file.

    Raises `InvalidSequence` where the file is damaged or departs from contract 1.
    """
    if not path.is_file():
        raise InvalidSequence(str(path), "missing", "no such file")
    return _read(path, str(path))


def parse_sequence(content: bytes, name: str) -> Sequence:
    """Read and validate the content of one sequence file; raises as `read_sequence`, calling it ``name``."""
    return _read(BytesIO(content), name)


def _read(source: Path | BytesIO, name: str) -> Sequence:
    try:
        with warnings.catch_warnings():
            # To astropy a truncated file or an odd header is a warning; here it is a departure.
            warnings.simplefilter("error", AstropyUserWarning)
            with fits.open(source, memmap=isinstance(source, Path), lazy_load_hdus=False) as hdus:
                return _from_hdus(hdus, name)
    except InvalidSequence:
        raise
    except Exception as error:  # whatever a damaged file makes a reader raise is the file's fault
        reason = " ".join(str(error).split()).partition(". ")[0]  # what follows is advice to programmers
        raise InvalidSequence(name, "unreadable", f"not a readable FITS file ({reason})") from error


def _from_hdus(hdus: fits.HDUList, name: str) -> Sequence:
    header = hdus[0].header
    version = header.get("SEQVER")
    if isinstance(version, bool) or version != SEQUENCE_VERSION:
        raise InvalidSequence(name, "version", f"SEQVER is {version!r}, expected {SEQUENCE_VERSION}")
    for extension in ("STAMPS", "EPOCHS"):
        if extension not in hdus:
            raise InvalidSequence(name, "missing_extension", f"no {extension} extension")
    _check_shape(hdus["STAMPS"].shape, name)
    record = np.zeros((), OBJECT_DTYPE)
    for optional in ("ra", "dec", "label_confidence"):
        record[optional] = np.nan
    for keyword, target in _REQUIRED.items():
        if keyword not in header:
            raise InvalidSequence(name, "missing_keyword", f"no {keyword} in the primary header")
        record[target] = _header_value(header, keyword, target, name)
    for keyword, target in _OPTIONAL.items():
        if keyword in header:
            record[target] = _header_value(header, keyword, target, name)
    sequence = Sequence(
        cast(np.void, record[()]), _stamps(hdus["STAMPS"], name), _epochs(hdus["EPOCHS"], name)
    )
    validate(sequence, name)
    return sequence


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 3 or shape[1:] != (STAMP_SIZE, STAMP_SIZE):
        raise InvalidSequence(name, "shape", f"STAMPS is {shape}, expected (T, {STAMP_SIZE}, {STAMP_SIZE})")
    if not MIN_EPOCHS <= shape[0] <= MAX_EPOCHS:
        raise InvalidSequence(name, "length", f"{shape[0]} epochs, expected {MIN_EPOCHS} to {MAX_EPOCHS}")


def _header_value(header: fits.Header, keyword: str, target: str, name: str) -> object:
    value = header[keyword]
    wants_text = OBJECT_DTYPE[target].kind == "U"
    if wants_text:
        text = str(value) if isinstance(value, int | float | str) else ""
        limit = OBJECT_DTYPE[target].itemsize // 4
        if len(text) > limit:
            raise InvalidSequence(name, "keyword", f"{keyword} has {len(text)} characters, at most {limit}")
        return text
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSequence(name, "keyword", f"{keyword} is {value!r}, expected a number")
    return float(value)


def _stamps(hdu: fits.ImageHDU, name: str) -> NDArray[np.float32]:
    if hdu.header["BITPIX"] != -32:
        raise InvalidSequence(
            name, "dtype", f"STAMPS has BITPIX {hdu.header['BITPIX']}, expected -32 (float32)"
        )
    return np.array(hdu.data, dtype=np.float32)


def _epochs(hdu: fits.BinTableHDU, name: str) -> NDArray[np.void]:
    if len(hdu.data) > MAX_EPOCHS:
        raise InvalidSequence(name, "length", f"EPOCHS has {len(hdu.data)} rows, at most {MAX_EPOCHS}")
    present = {column.upper() for column in hdu.columns.names}
    epochs = np.zeros(len(hdu.data), EPOCH_DTYPE)
    for column in EPOCH_DTYPE.names or ():
        if column.upper() not in present:
            raise InvalidSequence(name, "missing_column", f"no column {column.upper()} in EPOCHS")
        epochs[column] = hdu.data[column.upper()]
    return epochs


def validate(sequence: Sequence, source: str) -> None:
    """Check one sequence against contract 1; raises `InvalidSequence` at the first departure."""
    header, stamps, epochs = sequence.header, sequence.stamps, sequence.epochs
    _check_shape(stamps.shape, source)
    if len(epochs) != len(stamps):
        raise InvalidSequence(source, "length", f"{len(stamps)} stamps but {len(epochs)} rows in EPOCHS")
    _check_header(header, source)
    if np.isinf(stamps).any():
        raise InvalidSequence(source, "infinite", "a stamp holds an infinite pixel; mark bad pixels NaN")
    seen = int(np.isfinite(stamps).any(axis=(1, 2)).sum())
    if seen < MIN_EPOCHS:
        count = f"{seen} of {len(stamps)} stamps have a pixel that is not NaN"
        raise InvalidSequence(source, "no_pixels", f"{count}, expected at least {MIN_EPOCHS}")
    _check_epochs(epochs, source)


def _check_header(header: np.void, source: str) -> None:
    for keyword, name in list(_REQUIRED.items())[:3]:
        check_name(keyword, str(header[name]), source)
    label = str(header["label"])
    if label != UNLABELLED and label not in CLASSES:
        raise InvalidSequence(source, "label", f"LABEL is {label!r}, expected one of {', '.join(CLASSES)}")
    check_camera(header, source)
    confidence = float(header["label_confidence"])
    if not (np.isnan(confidence) or 0 <= confidence <= 1):
        raise InvalidSequence(source, "keyword", f"LABELCNF is {confidence}, expected 0 to 1")


def check_name(keyword: str, text: str, source: str) -> None:
    """Raise `InvalidSequence` where a text is no name that could also be a file's."""
    if not text.strip() or not text.isprintable() or "/" in text or "\\" in text or text.startswith("."):
        raise InvalidSequence(source, "name", f"{keyword} is {text!r}, expected a plain non-empty name")


def check_camera(header: np.void, source: str) -> None:
    """Raise `InvalidSequence` where a number of the camera in a record of OBJECT_DTYPE cannot be."""
    for keyword, name in _REQUIRED.items():
        if OBJECT_DTYPE[name].kind != "f":
            continue
        value = float(header[name])
        if not np.isfinite(value) or value < 0 or (name in _POSITIVE and value == 0):
            raise InvalidSequence(source, "keyword", f"{keyword} is {value}, expected a positive number")


def check_conditions(epochs: NDArray[np.void], source: str) -> None:
    """Raise `InvalidSequence` where a value in rows of EPOCH_DTYPE, in any order, cannot be."""
    for column, (low, high) in _EPOCH_BOUNDS.items():
        values = epochs[column]
        bad = ~((values >= low) & (values <= high))
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidSequence(
                source,
                "epoch_value",
                f"{column.upper()} of row {row} is {values[row]}, expected {low:g} to {high:g}",
            )
    if (np.char.str_len(epochs["band"]) == 0).any():
        raise InvalidSequence(source, "epoch_value", "BAND is empty")


def _check_epochs(epochs: NDArray[np.void], source: str) -> None:
    check_conditions(epochs, source)
    steps = np.diff(epochs["mjd"])
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        rule = "repeated_times" if steps[row - 1] == 0 else "unsorted_times"
        before, mjd = epochs["mjd"][row - 1 : row + 1].tolist()
        raise InvalidSequence(source, rule, f"MJD of row {row} is {mjd}, after {before}")


def find_sequence_files(paths: Iterable[Path]) -> list[Path]:
    """The sequence files that files and folders (searched recursively) name, sorted within a folder.

    Raises `UserError` where a path does not exist or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
            if not inside and any(path.rglob("stamps.npy")):
                way_out = "`astroreel simulate --format fits` makes files"
                raise UserError(f"{path}: a store of arrays, no folder of sequence files: {way_out}")
            if not inside:
                raise UserError(f"{path}: no sequence files (*.fits) in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return found


def read_sequences(
    paths: Iterable[Path], progress: Callable[[int], None] | None = None
) -> tuple[SequenceSet, list[Path], list[InvalidSequence]]:
    """Read what can be read: the set, the file of each of its objects, and each refusal."""
    good: list[Sequence] = []
    files: list[Path] = []
    refused: list[InvalidSequence] = []
    for done, path in enumerate(paths, start=1):
        try:
            good.append(read_sequence(path))
            files.append(path)
        except InvalidSequence as error:
            refused.append(error)
        if progress:
            progress(done)
    return SequenceSet.from_sequences(good), files, refused


def read_folder(path: Path) -> SequenceSet:
    """Read a folder of sequence files, perhaps none, that are all expected to be good.

    Raises at the first that is not, and where there is no such folder.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    return SequenceSet.from_sequences(map(read_sequence, files))


def _given(value: object) -> bool:
    return value != "" and not (isinstance(value, float) and np.isnan(value))


def _fits_format(values: NDArray[Any]) -> str:
    return "D" if values.dtype.kind == "f" else f"{max(int(np.char.str_len(values).max(initial=1)), 1)}A"
