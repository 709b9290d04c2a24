"""Contract 1: a sequence file keeps what it was given, and whatever departs is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astroreel.errors import InvalidSequence, UserError
from astroreel.sequences.file import (
    find_sequence_files,
    read_folder,
    read_sequence,
    read_sequences,
    validate,
    write_sequence,
)
from tests.conftest import MakeSequence

one_example_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@one_example_folder
@given(epochs=st.integers(6, 60), seed=st.integers(0, 1000), bad=st.integers(0, 20))
def test_what_is_written_is_read_back_to_the_bit(
    make_sequence: MakeSequence, tmp_path: Path, epochs: int, seed: int, bad: int
) -> None:
    sequence = make_sequence(epochs, seed, ccd="N16", label_confidence=0.5)
    sequence.stamps.ravel()[:bad] = np.nan
    write_sequence(tmp_path / "a.fits", sequence)
    back = read_sequence(tmp_path / "a.fits")
    np.testing.assert_array_equal(back.stamps, sequence.stamps)
    np.testing.assert_array_equal(back.epochs, sequence.epochs)
    for name in sequence.header.dtype.names:
        np.testing.assert_equal(back.header[name], sequence.header[name])


def test_an_unlabelled_object_without_optional_keywords_is_accepted(
    make_sequence: MakeSequence, tmp_path: Path
) -> None:
    write_sequence(tmp_path / "a.fits", make_sequence(label=""))
    assert "LABEL" not in fits.getheader(tmp_path / "a.fits")
    assert read_sequence(tmp_path / "a.fits").label == ""


HeaderEdit = Callable[[fits.HDUList], None]


def _set(keyword: str, value: object) -> HeaderEdit:
    return lambda hdus: hdus[0].header.set(keyword, value)


def _delete(keyword: str) -> HeaderEdit:
    return lambda hdus: hdus[0].header.remove(keyword)


def _epoch(column: str, row: int, value: float) -> HeaderEdit:
    def edit(hdus: fits.HDUList) -> None:
        hdus["EPOCHS"].data[column][row] = value

    return edit


def _stamps(values: np.ndarray) -> HeaderEdit:
    def edit(hdus: fits.HDUList) -> None:
        hdus["STAMPS"].data = values

    return edit


def _drop_column(name: str) -> HeaderEdit:
    def edit(hdus: fits.HDUList) -> None:
        columns = [column for column in hdus["EPOCHS"].columns if column.name != name]
        hdus[2] = fits.BinTableHDU.from_columns(columns, name="EPOCHS")

    return edit


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (_set("SEQVER", 2), "version: SEQVER is 2"),
        (_set("LABEL", "quasar"), "label: LABEL is 'quasar', expected one of supernova"),
        (_set("LABEL", "RR_Lyrae"), "label: LABEL is 'RR_Lyrae'"),
        (_set("OBJECT", "../../etc/passwd"), "name: OBJECT is '../../etc/passwd'"),
        (_set("GAIN", -1.0), "keyword: GAIN is -1.0"),
        (_set("GAIN", "four"), "keyword: GAIN is 'four', expected a number"),
        (_set("LABELCNF", 1.5), "keyword: LABELCNF is 1.5"),
        (_delete("FIELD"), "missing_keyword: no FIELD"),
        (_epoch("MJD", 3, 57000.0), r"unsorted_times: MJD of row 3 is 57000\.0, after 57\d"),
        (_epoch("SEEING", 2, -1.0), "epoch_value: SEEING of row 2 is -1.0"),
        (_epoch("ZP", 0, np.nan), "epoch_value: ZP of row 0 is nan"),
        (_epoch("MJD", 9, 2457070.0), "epoch_value: MJD of row 9"),
        (_stamps(np.zeros((10, 20, 21), np.float32)), r"shape: STAMPS is \(10, 20, 21\)"),
        (_stamps(np.zeros((5, 21, 21), np.float32)), "length: 5 epochs, expected 6 to 10000"),
        (_stamps(np.zeros((9, 21, 21), np.float32)), "length: 9 stamps but 10 rows"),
        (_stamps(np.zeros((10, 21, 21), np.int16)), "dtype: STAMPS has BITPIX 16"),
        (_stamps(np.full((10, 21, 21), np.inf, np.float32)), "infinite: a stamp holds an infinite pixel"),
        (lambda hdus: hdus.pop(2), "missing_extension: no EPOCHS"),
        (_drop_column("SKY"), "missing_column: no column SKY"),
    ],
)
def test_a_departure_is_refused_by_file_rule_and_value(
    make_sequence: MakeSequence, tmp_path: Path, edit: HeaderEdit, rule: str
) -> None:
    path = tmp_path / "a.fits"
    write_sequence(path, make_sequence())
    with fits.open(path) as hdus:
        changed = fits.HDUList([hdu.copy() for hdu in hdus])
    edit(changed)
    changed.writeto(path, overwrite=True)
    with pytest.raises(InvalidSequence, match=rf"a\.fits: {rule}"):
        read_sequence(path)


def test_repeated_times_are_refused(make_sequence: MakeSequence) -> None:
    sequence = make_sequence()
    sequence.epochs["mjd"][4] = sequence.epochs["mjd"][3]
    with pytest.raises(InvalidSequence, match=r"object-0: repeated_times: MJD of row 4 is (\S+), after \1$"):
        validate(sequence, "object-0")


def test_a_sequence_with_too_few_stamps_to_see_is_refused(make_sequence: MakeSequence) -> None:
    sequence = make_sequence(10)
    sequence.stamps[:4] = np.nan
    validate(sequence, "object-0")
    sequence.stamps[4] = np.nan
    detail = "5 of 10 stamps have a pixel that is not NaN, expected at least 6$"
    with pytest.raises(InvalidSequence, match=f"object-0: no_pixels: {detail}"):
        validate(sequence, "object-0")


def test_a_text_file_is_refused_without_the_readers_advice(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_text("no FITS file")
    with pytest.raises(InvalidSequence, match=r"not a readable FITS file \([^.]*\)$"):
        read_sequence(tmp_path / "a.fits")


@one_example_folder
@given(cut=st.floats(0.0, 0.99), seed=st.integers(0, 100))
def test_a_truncated_file_is_refused_and_never_crashes(
    make_sequence: MakeSequence, tmp_path: Path, cut: float, seed: int
) -> None:
    path = tmp_path / "a.fits"
    write_sequence(path, make_sequence(seed=seed))
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(InvalidSequence, match=r"a\.fits"):
        read_sequence(path)


def test_an_invalid_sequence_leaves_no_file(make_sequence: MakeSequence, tmp_path: Path) -> None:
    sequence = make_sequence()
    with pytest.raises(InvalidSequence, match="length"):
        write_sequence(tmp_path / "a.fits", replace(sequence, epochs=sequence.epochs[:-1]))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_clear_line(make_sequence: MakeSequence, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write here .*: choose another folder"):
        write_sequence(tmp_path / "file" / "a.fits", make_sequence())


def test_good_files_are_read_past_bad_ones(make_sequence: MakeSequence, tmp_path: Path) -> None:
    for seed in range(3):
        write_sequence(tmp_path / f"good-{seed}.fits", make_sequence(seed=seed))
    (tmp_path / "bad.fits").write_bytes(b"SIMPLE  = nonsense")
    good, files, refused = read_sequences(find_sequence_files([tmp_path]))
    assert list(good.objects["name"]) == ["object-0", "object-1", "object-2"]
    assert [file.name for file in files] == ["good-0.fits", "good-1.fits", "good-2.fits"]
    assert [error.rule for error in refused] == ["unreadable"]


def test_a_folder_without_sequence_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sequence files"):
        find_sequence_files([tmp_path])
    (tmp_path / "stamps.npy").touch()
    with pytest.raises(
        UserError, match=r"a store of arrays, .*`astroreel simulate --format fits` makes files"
    ):
        find_sequence_files([tmp_path])
    with pytest.raises(UserError, match="no such file or folder"):
        find_sequence_files([tmp_path / "nowhere"])


def test_a_folder_that_is_read_whole_may_be_empty_but_not_missing(tmp_path: Path) -> None:
    assert len(read_folder(tmp_path)) == 0
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_folder(tmp_path / "nowhere")
