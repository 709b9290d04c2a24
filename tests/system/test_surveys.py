"""Surveys by a config file alone: `astroreel simulate` writes valid sequences in each one's conditions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from astroreel import cli
from astroreel.sequences.file import read_folder
from astroreel.sequences.record import SequenceSet
from astroreel.survey.survey import load_survey


def simulate(monkeypatch: pytest.MonkeyPatch, survey: object, out: Path) -> SequenceSet:
    options = ("--n", 14, "--format", "fits", "--workers", 1, "--out", out)
    monkeypatch.setattr(sys, "argv", ["astroreel", *map(str, ("simulate", "--survey", survey, *options))])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    return read_folder(out)


# Median depth in g [mag] and nights between visits: published for ZTF (Bellm et al. 2019), of real visits
# for LSST, as survey/configs says.
@pytest.mark.parametrize(("name", "depth", "nights"), [("ztf", 20.8, 3.0), ("lsst", 24.73, 4.0)])
def test_depth_and_cadence_are_those_of_the_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, depth: float, nights: float
) -> None:
    made = simulate(monkeypatch, name, tmp_path / "sequences")
    assert set(made.objects["survey"]) == {name}
    assert set(made.epochs["band"]) == {"g"}
    assert np.median(made.epochs["limmag"]) == pytest.approx(depth, abs=0.2)
    gaps = np.diff(made.epochs["mjd"])[np.diff(made.owner) == 0]
    assert np.median(np.round(gaps)) == pytest.approx(nights, abs=1.0)
    limit = load_survey(name).max_seeing
    assert (made.epochs["seeing"] <= limit).all()


def test_another_band_needs_another_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    survey = load_survey("lsst").model_copy(update={"name": "lsst_r", "band": "r"})
    own.write_text(survey.model_dump_json())
    made = simulate(monkeypatch, own, tmp_path / "sequences")
    assert set(made.epochs["band"]) == {"r"}
    assert set(made.objects["survey"]) == {"lsst_r"}
