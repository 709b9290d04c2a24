"""The HiTS conversion on a made-up source in the public layout, and its refusals."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from astroreel.errors import InvalidSequence, UserError
from astroreel.files import read_json
from astroreel.sequences.file import read_folder
from astroreel.sequences.hits import aligned, convert_hits
from astroreel.sequences.numpy_pickle import read_pickled_array
from astroreel.survey.survey import load_survey

MJD = 57070.0 + np.array([0.1, 0.17, 0.24, 1.03, 1.1, 1.17, 2.1, 3.1])


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings; Python 3 would go through _codecs.encode."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch[bytes] = save_bytes


def _save_pickled(path: Path, content: object) -> None:
    """An object array as numpy 1 under Python 2 wrote it: protocol 2, module names of that time."""
    array = np.empty((), dtype=object)
    array[()] = content
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(array)
    payload = buffer.getvalue().replace(b"numpy._core", b"numpy.core")
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        stream.write(payload)


def _stamps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(250.0, 8.0, (len(MJD), 21, 21)).astype(np.float32)


def _centroids(seed: int) -> np.ndarray:
    return 10.0 + np.random.default_rng(seed).uniform(-0.5, 0.5, (len(MJD), 2))


def _star(seed: int) -> dict[str, np.ndarray]:
    times = np.zeros(len(MJD), dtype=[("EPOCH", "S2"), ("MJD", "<f4")])
    times["MJD"] = MJD
    return {"stamp": _stamps(seed), "time": times, "centroidsXY": _centroids(seed)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source with one field of conditions, one supernova and one star of each class."""
    stamps = tmp_path / "hits" / "real_obs" / "real_stamps"
    for folder in ("SNstamps/npy", "RRLyrae", "EB", "real_constants"):
        (stamps / folder).mkdir(parents=True)
    conditions = tmp_path / "hits" / "real_obs" / "Blind15A_info"
    conditions.mkdir()
    names = ("MJD", "EXP_TIME", "SEEING", "AIRMASS", "BACK_LEVEL", "ZP_PS", "LIMIT_MAG_EA5")
    for epoch, mjd in enumerate(MJD, start=1):
        row = np.array((mjd, 86.0, 1.3, 1.2, 250.0, 25.0, 23.5), dtype=[(name, "f8") for name in names])
        np.save(conditions / f"Blind15A_04_{epoch:02d}_g.npy", row)
    (stamps / "SNstamps" / "SNHiTS.txt").write_text("name field CCD i j\nSNHiTS15A 4 N16 681 88\n")
    np.save(stamps / "SNstamps/npy/SNHiTS15A_stamps.npy", _stamps(0))
    np.save(stamps / "SNstamps/npy/SNHiTS15A_MJDs.npy", np.array([f"{mjd:.7f}" for mjd in MJD]).astype("S"))
    for seed, folder in enumerate(("RRLyrae", "EB", "real_constants"), start=1):
        _save_pickled(stamps / folder / f"Blind15A_04_N1_{100 * seed}_7_g_stamp.npy", _star(seed))
    return tmp_path / "hits"


def test_every_class_becomes_sequence_files_with_the_conditions_of_their_exposures(
    source: Path, tmp_path: Path
) -> None:
    report = convert_hits(source, tmp_path / "out")
    assert report.kept == {"supernova": 1, "rr_lyrae": 1, "eclipsing_binary": 1, "non_variable": 1}
    assert read_json(tmp_path / "out" / "conversion.json")["frames_kept"] == 4 * len(MJD)
    converted = read_folder(tmp_path / "out")
    for sequence in converted:
        np.testing.assert_array_equal(sequence.epochs["mjd"], MJD)  # not the float32 of the file
        assert set(sequence.epochs["sky"]) == {250.0}


def test_a_frame_far_from_every_exposure_is_left_out_and_counted(source: Path, tmp_path: Path) -> None:
    (source / "real_obs/Blind15A_info/Blind15A_04_03_g.npy").unlink()
    report = convert_hits(source, tmp_path / "out")
    assert report.frames_left_out["no exposure at this time"] == 4
    assert set(read_folder(tmp_path / "out").lengths) == {len(MJD) - 1}


def test_pixels_without_data_become_nan_and_dead_frames_go(source: Path, tmp_path: Path) -> None:
    path = source / "real_obs/real_stamps/SNstamps/npy/SNHiTS15A_stamps.npy"
    stamps = np.load(path)
    stamps[0, 3, 4], stamps[1, 0, 0], stamps[2] = -9999.0, 1e8, 0.0
    np.save(path, stamps)
    report = convert_hits(source, tmp_path / "out")
    supernova = next(s for s in read_folder(tmp_path / "out") if s.label == "supernova")
    assert report.frames_left_out["dead or mostly bad"] == 1
    assert len(supernova) == len(MJD) - 1
    assert np.isnan(supernova.stamps).sum() == 2


def _by_name(folder: Path) -> dict[str, np.ndarray]:
    return {sequence.name: sequence.stamps for sequence in read_folder(folder)}


def test_what_its_authors_did_not_resample_is_resampled_and_the_rest_stays(
    source: Path, tmp_path: Path
) -> None:
    convert_hits(source, tmp_path / "resampled")
    convert_hits(source, tmp_path / "as_read", resample=False)
    resampled, as_read = _by_name(tmp_path / "resampled"), _by_name(tmp_path / "as_read")
    np.testing.assert_array_equal(as_read["SNHiTS15A"], _stamps(0))
    np.testing.assert_array_equal(resampled.pop("SNHiTS15A"), as_read.pop("SNHiTS15A"))
    for seed, name in enumerate(as_read, start=1):
        np.testing.assert_array_equal(as_read[name], _stamps(seed))
        expected = aligned(
            _stamps(seed), _centroids(seed) - 10.0, name, load_survey("hits").artefacts.lanczos
        )
        np.testing.assert_array_equal(resampled[name], expected)
        assert resampled[name].std() < 0.95 * as_read[name].std()


def test_an_object_is_resampled_alike_whatever_else_is_converted(source: Path, tmp_path: Path) -> None:
    convert_hits(source, tmp_path / "all")
    (source / "real_obs/real_stamps/RRLyrae/Blind15A_04_N1_100_7_g_stamp.npy").unlink()
    (source / "real_obs/Blind15A_info/Blind15A_04_03_g.npy").unlink()
    convert_hits(source, tmp_path / "fewer")
    everything, fewer = _by_name(tmp_path / "all"), _by_name(tmp_path / "fewer")
    assert len(fewer) == len(everything) - 1
    for name, stamps in fewer.items():
        np.testing.assert_array_equal(stamps, np.delete(everything[name], 2, axis=0))


def test_pixels_without_data_and_full_ones_stay_so_when_resampled(source: Path, tmp_path: Path) -> None:
    star = _star(1)
    star["stamp"][0, 3, 4], star["stamp"][2] = -9999.0, 0.0
    star["stamp"][5, 10, 8:12] = 60_000.0
    _save_pickled(source / "real_obs/real_stamps/RRLyrae/Blind15A_04_N1_100_7_g_stamp.npy", star)
    report = convert_hits(source, tmp_path / "out")
    assert report.frames_left_out["dead or mostly bad"] == 1
    stamps = _by_name(tmp_path / "out")["Blind15A_04_N1_100_7"]
    assert np.isnan(stamps[0, 3, 4]) and np.isfinite(stamps[1:]).all()
    assert stamps[4].max() < 60_000.0


def test_stars_without_centroids_are_refused(source: Path, tmp_path: Path) -> None:
    star = {**_star(1), "centroidsXY": np.zeros((3, 2))}
    _save_pickled(source / "real_obs/real_stamps/RRLyrae/Blind15A_04_N1_100_7_g_stamp.npy", star)
    with pytest.raises(InvalidSequence, match=f"centroidsXY: expected {len(MJD)} places"):
        convert_hits(source, tmp_path / "out")


def test_an_object_seen_twice_is_kept_once_and_a_contradiction_not_at_all(
    source: Path, tmp_path: Path
) -> None:
    stamps = source / "real_obs/real_stamps"
    _save_pickled(stamps / "RRLyrae" / "Blind15A_04_N1_101_8_g_stamp.npy", _star(7))
    _save_pickled(stamps / "real_constants" / "Blind15A_04_N1_200_8_g_stamp.npy", _star(8))
    report = convert_hits(source, tmp_path / "out")
    assert report.left_out["Blind15A_04_N1_101_8"] == "the same object as Blind15A_04_N1_100_7"
    assert report.left_out["Blind15A_04_N1_200_7"].startswith(
        "labelled eclipsing_binary here and non_variable"
    )
    assert report.left_out["Blind15A_04_N1_200_8"].startswith(
        "labelled non_variable here and eclipsing_binary"
    )


def test_an_object_without_conditions_is_left_out_and_named(source: Path, tmp_path: Path) -> None:
    table = source / "real_obs/real_stamps/SNstamps/SNHiTS.txt"
    table.write_text("name field CCD i j\nSNHiTS15A 3 N16 681 88\n")
    report = convert_hits(source, tmp_path / "out")
    assert report.left_out == {"SNHiTS15A": "no observing conditions for field Blind15A_03"}


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch owned",)


def test_a_pickle_that_names_anything_but_arrays_is_refused_and_runs_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = source / "real_obs/real_stamps/EB/Blind15A_04_N1_200_7_g_stamp.npy"
    _save_pickled(path, _Payload())
    with pytest.raises(InvalidSequence, match=r"the pickle names posix\.system"):
        read_pickled_array(path)
    with pytest.raises(InvalidSequence, match="not a pickled numpy array"):
        convert_hits(source, tmp_path / "out")
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this is no HiTS source folder"):
        convert_hits(tmp_path, tmp_path / "out")
