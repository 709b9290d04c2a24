"""The HiTS 2015 stamps to sequence files: the thesis's real data (section 4.1).

Reads the layout of the public repository (``real_obs/real_stamps/...``). Every frame takes its time
and conditions from the nearest g exposure of its field, never from its own epoch number, which is
wrong for many frames, nor from its own time, which for three classes is rounded to float32.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import InvalidSequence, UserError
from astroreel.files import replacing_folder, write_json
from astroreel.images.resampling import resample_stamps
from astroreel.sequences.file import validate, write_sequence
from astroreel.sequences.numpy_pickle import read_pickled_array
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, Sequence
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.hits import read_hits_conditions
from astroreel.survey.survey import Survey, load_survey

#: Largest distance in time between a frame and the exposure it is joined with [d]. Float32 times of
#: MJD 57070 are off by up to 0.002 d, and exposures of a field are 0.06 d apart.
TIME_TOLERANCE = 0.004
#: Two objects of a field closer than this on one CCD are one object [pixel].
POSITION_TOLERANCE = 3.0
#: Values that the reduction wrote into pixels without data (-9999 and 1e8), and all beyond them.
PIXEL_RANGE = (-1e3, 1e6)
#: A frame with a larger share of bad pixels is left out.
MAX_BAD_SHARE = 0.25

_PICKLED_CLASSES = {
    "rr_lyrae": "RRLyrae",
    "eclipsing_binary": "EB",
    "non_variable": "real_constants",
}
_STAMP_NAME = re.compile(r"(?P<field>Blind15A_\d\d)_(?P<ccd>[NS]\d+)_(?P<x>\d+)_(?P<y>\d+)_g_stamp$")


@dataclass(frozen=True)
class RawObject:
    """One object as published: where it is, its stamps (T, 21, 21) and their times [d], (T,).

    ``centroid`` is where the source lies from the centre of each stamp, along x and y [pixel], (T, 2); None
    where the stamps were resampled by those who published them.
    """

    name: str
    label: str
    field: str
    ccd: str
    x: float
    y: float
    stamps: NDArray[np.float32]
    mjd: NDArray[np.float64]
    centroid: NDArray[np.float64] | None = None


@dataclass
class ConversionReport:
    """What a conversion kept and what it left out, and why."""

    kept: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    frames_kept: int = 0
    frames_left_out: dict[str, int] = field(default_factory=dict)


def convert_hits(
    source: Path, out: Path, progress: Callable[[int, int], None] | None = None, *, resample: bool = True
) -> ConversionReport:
    """Convert a HiTS source to a folder of sequence files, with ``conversion.json`` beside them.

    Objects without conditions, with fewer than six frames or seen twice are left out and named in the
    report. Raises `UserError` where ``source`` is no HiTS folder.

    The published supernovae were resampled to a common grid, and the texture of their noise tells them from
    all others. With ``resample`` the others are resampled likewise, see `aligned`.
    """
    survey = load_survey("hits")
    conditions = read_hits_conditions(source).select_band(survey.band)
    raw = list(_read_raw(source))
    if not raw:
        raise UserError(f"{source}: no stamps under real_obs/real_stamps: this is no HiTS source folder")
    report = ConversionReport(left_out=_duplicates(raw))
    with replacing_folder(out) as scratch:
        for done, item in enumerate(raw, start=1):
            if item.name not in report.left_out:
                _convert_one(
                    item if resample else replace(item, centroid=None), conditions, survey, scratch, report
                )
            if progress:
                progress(done, len(raw))
        write_json(scratch / "conversion.json", asdict(report))
    return report


def aligned(
    stamps: NDArray[np.float32], centroid: NDArray[np.float64], name: str, order: int
) -> NDArray[np.float32]:
    """The frames of an object resampled to a common grid, (T, 21, 21).

    A pipeline that aligns exposures shifts each by its own fraction of a pixel and leaves the source at one
    place within a pixel in all of them. Here each frame is shifted from its centroid to a place that is drawn
    once for the object, by its name.

    Parameters
    ----------
    stamps
        (T, 21, 21), bad pixels NaN.
    centroid
        (T, 2) where the source lies from the stamps' centre, along x and y [pixel].
    name
        The object's name.
    order
        Of the Lanczos kernel.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    place = np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    x, y = np.clip(centroid - place, -1.0, 1.0).T
    return resample_stamps(stamps, x, y, order)


def _convert_one(
    item: RawObject, conditions: ConditionsTable, survey: Survey, folder: Path, report: ConversionReport
) -> None:
    if item.field not in conditions.fields:
        report.left_out[item.name] = f"no observing conditions for field {item.field}"
        return
    sequence, dropped = _join(item, conditions.field(item.field), survey)
    for reason, count in dropped.items():
        report.frames_left_out[reason] = report.frames_left_out.get(reason, 0) + count
    try:
        validate(sequence, item.name)
    except InvalidSequence as error:
        report.left_out[item.name] = f"{error.rule}: {error.detail}"
        return
    write_sequence(folder / f"{item.name}.fits", sequence)
    report.kept[item.label] = report.kept.get(item.label, 0) + 1
    report.frames_kept += len(sequence)


def _read_raw(source: Path) -> Iterator[RawObject]:
    stamps = source / "real_obs" / "real_stamps"
    yield from _read_supernovae(stamps / "SNstamps")
    for label, folder in _PICKLED_CLASSES.items():
        for file in sorted((stamps / folder).glob("*_g_stamp.npy")):
            yield _read_pickled(file, label)


def _read_supernovae(folder: Path) -> Iterator[RawObject]:
    table = folder / "SNHiTS.txt"
    if not table.exists():
        raise UserError(f"{table}: missing: the fields of the supernovae are read from it")
    rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    places = {name: (f"Blind15A_{int(number):02d}", ccd, x, y) for name, number, ccd, x, y in rows}
    for file in sorted((folder / "npy").glob("*_stamps.npy")):
        name = file.name.removesuffix("_stamps.npy")
        if name not in places:
            raise UserError(f"{file}: {name} is not in {table.name}, so its field is unknown")
        field_name, ccd, x, y = places[name]
        times = np.load(file.with_name(f"{name}_MJDs.npy"), allow_pickle=False).astype(np.float64)
        images = np.load(file, allow_pickle=False)
        yield RawObject(
            name, "supernova", field_name, ccd, float(x), float(y), _checked(images, times, file), times
        )


def _read_pickled(file: Path, label: str) -> RawObject:
    place = _STAMP_NAME.match(file.stem)
    if place is None:
        raise UserError(f"{file}: the name must read Blind15A_FF_CCD_x_y_g_stamp.npy")
    content = read_pickled_array(file)
    if not isinstance(content, dict) or not {"stamp", "time", "centroidsXY"} <= content.keys():
        raise InvalidSequence(str(file), "content", "expected a dictionary of stamp, time and centroidsXY")
    times = content["time"]["MJD"].astype(np.float64)
    centroid = np.asarray(content["centroidsXY"], np.float64)
    if centroid.shape != (len(times), 2) or not np.isfinite(centroid).all():
        raise InvalidSequence(str(file), "centroidsXY", f"expected {len(times)} places")
    return RawObject(
        name=file.stem.removesuffix("_g_stamp"),
        label=label,
        field=place["field"],
        ccd=place["ccd"],
        x=float(place["x"]),
        y=float(place["y"]),
        stamps=_checked(content["stamp"], times, file),
        mjd=times,
        centroid=centroid - STAMP_SIZE // 2,
    )


def _checked(stamps: NDArray[np.float32], times: NDArray[np.float64], file: Path) -> NDArray[np.float32]:
    expected = (len(times), STAMP_SIZE, STAMP_SIZE)
    if stamps.shape != expected:
        raise InvalidSequence(str(file), "shape", f"stamps are {stamps.shape}, expected {expected}")
    return stamps.astype(np.float32)


def _camera(survey: Survey, ccd: str) -> dict[str, float]:
    """Figures of a detector; the survey's medians for one that its file does not list."""
    table = camera_table(survey.cameras)
    rows = table[table["ccd"] == ccd] if (table["ccd"] == ccd).any() else table
    return {name: float(np.median(rows[name])) for name in ("pixscale", "gain", "rdnoise", "saturate")}


def _duplicates(raw: list[RawObject]) -> dict[str, str]:
    """Objects that stand where an earlier one stands, and why each is left out."""
    left_out: dict[str, str] = {}
    by_chip: dict[tuple[str, str], list[RawObject]] = {}
    for item in raw:
        earlier = by_chip.setdefault((item.field, item.ccd), [])
        twin = next((o for o in earlier if np.hypot(o.x - item.x, o.y - item.y) < POSITION_TOLERANCE), None)
        if twin is None:
            earlier.append(item)
        elif twin.label == item.label:
            left_out[item.name] = f"the same object as {twin.name}"
        else:
            left_out[item.name] = f"labelled {item.label} here and {twin.label} as {twin.name}"
            left_out[twin.name] = f"labelled {twin.label} here and {item.label} as {item.name}"
    return left_out


def _join(item: RawObject, exposures: NDArray[np.void], survey: Survey) -> tuple[Sequence, dict[str, int]]:
    """Give each frame the conditions of the nearest exposure; count the frames left out by reason."""
    nearest = np.abs(exposures["mjd"][None, :] - item.mjd[:, None]).argmin(axis=1)
    far = np.abs(exposures["mjd"][nearest] - item.mjd) > TIME_TOLERANCE
    with_data = (item.stamps > PIXEL_RANGE[0]) & (item.stamps < PIXEL_RANGE[1])
    stamps = np.where(with_data, item.stamps, np.float32(np.nan))
    bad = np.isnan(stamps).mean(axis=(1, 2)) > MAX_BAD_SHARE
    flat = np.nan_to_num(np.nanstd(np.where(bad[:, None, None], 0.0, stamps), axis=(1, 2))) == 0
    dead = bad | flat
    usable = np.flatnonzero(~far & ~dead)
    _, first = np.unique(nearest[usable], return_index=True)
    keep = usable[first]

    epochs = np.zeros(len(keep), EPOCH_DTYPE)
    for name in EPOCH_DTYPE.names or ():
        epochs[name] = exposures[name][nearest[keep]]
    camera = _camera(survey, item.ccd)
    header = np.zeros((), OBJECT_DTYPE)
    header["name"], header["label"], header["survey"] = item.name, item.label, survey.name
    header["field"], header["ccd"] = item.field, item.ccd
    for name, value in camera.items():
        header[name] = value
    for name in ("ra", "dec"):
        header[name] = np.nan
    header["label_source"], header["label_confidence"] = "HiTS 2015", 1.0
    dropped = {
        "no exposure at this time": int(far.sum()),
        "dead or mostly bad": int((dead & ~far).sum()),
        "second frame of an exposure": len(usable) - len(keep),
    }
    kept = stamps[keep]
    if item.centroid is not None:
        kept = aligned(kept, item.centroid[keep], item.name, survey.artefacts.lanczos)
        # The kernel overshoots beside saturated pixels.
        kept = np.minimum(kept, np.float32(camera["saturate"]))
    return Sequence(cast(np.void, header[()]), kept, epochs), dropped
