"""Cameras, observing conditions, surveys as files and forecasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.recfunctions import drop_fields
from numpy.typing import NDArray
from scipy.stats import spearmanr

from astroreel.errors import UserError
from astroreel.survey.camera import Camera, camera_table
from astroreel.survey.conditions import CONDITIONS_DTYPE, EPOCH_DTYPE, ConditionsTable
from astroreel.survey.depth import limiting_magnitude
from astroreel.survey.forecast import generate_conditions, perturb
from astroreel.survey.survey import ImageScatter, Survey, load_survey, survey_names

COLUMNS = CONDITIONS_DTYPE.names or ()


def rows(n_fields: int = 3, n_epochs: int = 4) -> np.ndarray:
    """Exposures of a few fields, in shuffled order."""
    made = np.zeros(n_fields * n_epochs, CONDITIONS_DTYPE)
    made["field"] = np.repeat([f"field-{index}" for index in range(n_fields)], n_epochs)
    made["mjd"] = 57070.0 + np.arange(len(made)) * 0.07
    made["band"] = "g"
    made["exptime"] = 86.0
    made["seeing"] = np.linspace(1.0, 3.0, len(made))
    made["airmass"], made["sky"], made["zp"], made["limmag"] = 1.2, 120.0, 25.05, 23.6
    return np.random.default_rng(0).permutation(made)


@pytest.fixture(scope="module")
def hits() -> Survey:
    return load_survey("hits")


@pytest.fixture(scope="module")
def season(hits: Survey) -> ConditionsTable:
    return generate_conditions(hits, 300, np.random.default_rng(1))


@pytest.fixture(scope="module")
def visits_of_lsst() -> ConditionsTable:
    return generate_conditions(load_survey("lsst"), 200, np.random.default_rng(2))


class TestConditionsTable:
    def test_a_field_is_sorted_by_time_and_has_the_epoch_columns(self) -> None:
        epochs = ConditionsTable(rows()).field("field-1")
        assert epochs.dtype == EPOCH_DTYPE
        assert len(epochs) == 4
        assert np.all(np.diff(epochs["mjd"]) > 0)

    def test_fields_are_named_once_and_sorted(self) -> None:
        assert ConditionsTable(rows()).fields == ("field-0", "field-1", "field-2")

    def test_an_unknown_field_is_refused(self) -> None:
        with pytest.raises(UserError, match="no field 'nowhere'"):
            ConditionsTable(rows()).field("nowhere")

    def test_bands_are_selected_and_an_absent_one_is_refused(self) -> None:
        table = rows()
        table["band"][:5] = "r"
        conditions = ConditionsTable(table)
        assert len(conditions.select_band("r")) == 5
        with pytest.raises(UserError, match="band 'z': choose from g, r"):
            conditions.select_band("z")

    def test_only_seeing_above_the_limit_is_dropped(self) -> None:
        table = rows()
        kept = ConditionsTable(table).max_seeing(2.0)
        assert len(kept) == np.sum(table["seeing"] <= 2.0)
        assert kept.rows["seeing"].max() <= 2.0

    @pytest.mark.parametrize("column", COLUMNS)
    def test_a_missing_column_is_named(self, column: str) -> None:
        with pytest.raises(UserError, match=f"column '{column}' is missing"):
            ConditionsTable(drop_fields(rows(), column, usemask=False))

    @pytest.mark.parametrize(
        ("column", "value", "rule"),
        [
            ("seeing", 0.0, "finite and above 0: row 2 holds 0.0"),
            ("exptime", -1.0, "finite and above 0: row 2 holds -1.0"),
            ("zp", np.nan, "finite: row 2 holds nan"),
            ("mjd", np.inf, "finite: row 2 holds inf"),
            ("field", "", "1 to 24 characters: row 2 holds ''"),
        ],
    )
    def test_a_wrong_value_is_named_with_its_column_and_rule(
        self, column: str, value: float | str, rule: str
    ) -> None:
        table = rows()
        table[column][2] = value
        with pytest.raises(UserError, match=f"column '{column}' must (be|have) {rule}"):
            ConditionsTable(table)

    def test_a_repeated_instant_of_a_field_is_refused(self) -> None:
        table = rows()
        with pytest.raises(UserError, match="'mjd' must not repeat"):
            ConditionsTable(np.concatenate([table, table[:1]]))

    def test_a_name_that_would_be_cut_is_refused(self) -> None:
        table = rows().astype(
            [(name, "U40") if name == "field" else (name, CONDITIONS_DTYPE[name]) for name in COLUMNS]
        )
        table["field"][0] = "x" * 30
        with pytest.raises(UserError, match="column 'field' must have 1 to 24 characters: row 0"):
            ConditionsTable(table)

    def test_a_file_gives_back_what_was_written(self, tmp_path: Path) -> None:
        table = ConditionsTable(rows())
        table.write(tmp_path / "conditions.ecsv")
        np.testing.assert_array_equal(ConditionsTable.read(tmp_path / "conditions.ecsv").rows, table.rows)
        assert [path.name for path in tmp_path.iterdir()] == ["conditions.ecsv"]

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"absent\.ecsv: no such file"):
            ConditionsTable.read(tmp_path / "absent.ecsv")

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.ecsv"
        path.write_bytes(b"\x80\x81 not a table")
        with pytest.raises(UserError, match=r"broken\.ecsv: not an ECSV table"):
            ConditionsTable.read(path)

    def test_a_blank_cell_is_refused_with_the_file_and_the_column(self, tmp_path: Path) -> None:
        path = tmp_path / "blank.ecsv"
        ConditionsTable(rows()).write(path)
        path.write_text(path.read_text().replace("25.05", '""', 1))
        with pytest.raises(UserError, match=r"blank\.ecsv: conditions: column 'zp' must be finite: row 0"):
            ConditionsTable.read(path)


class TestDepth:
    def test_optimal_photometry_measures_a_star_at_the_limit_at_five_sigma(self) -> None:
        """Against the matched filter's signal to noise, summed over pixels."""
        fwhm, sky, zp, exptime, gain, rdnoise = 4.3, 120.0, 25.05, 86.0, 4.0, 6.0
        flux = exptime * 10 ** (0.4 * (zp - limiting_magnitude(fwhm, sky, zp, exptime, gain, rdnoise)))
        y, x = np.mgrid[-30:31, -30:31]
        psf = np.exp(-4.0 * np.log(2.0) * (x**2 + y**2) / fwhm**2)
        psf /= psf.sum()
        background = sky / gain + (rdnoise / gain) ** 2
        variance = background / np.sum(psf**2) + flux / gain
        assert flux / np.sqrt(variance) == pytest.approx(5.0, rel=1e-3)

    # Medians over the g exposures of a night of HiTS 2015: seeing [arcsec], sky [ADU], zero point, exposure
    # time [s], LIMIT_MAG_EA5 (github.com/rodrigcd/HiTS_simulations, Blind15A_info).
    NIGHTS = np.array(
        [
            (1.269, 112.5, 25.093, 86.0, 23.87),
            (1.129, 113.4, 25.079, 86.0, 24.01),
            (1.295, 117.4, 25.068, 86.0, 23.82),
            (1.831, 135.6, 24.839, 86.0, 22.76),
            (2.839, 130.0, 24.928, 86.0, 22.88),
            (1.855, 119.8, 25.026, 86.0, 23.11),
            (1.380, 123.8, 25.052, 86.0, 23.68),
            (1.400, 125.7, 25.107, 86.0, 24.65),
            (1.854, 562.8, 25.056, 86.0, 22.80),
            (1.245, 1748.5, 25.048, 102.0, 23.61),
            (1.192, 109.8, 25.054, 86.0, 23.82),
        ]
    )

    def test_the_offset_from_the_depth_that_hits_measured_is_the_one_documented(self, hits: Survey) -> None:
        seeing, sky, zp, exptime, measured = self.NIGHTS.T
        formula = limiting_magnitude(hits.fwhm(seeing) / 0.27, sky, zp, exptime, 3.95, 6.0)
        assert np.median(measured - formula) == pytest.approx(hits.weather.depth_offset, abs=0.1)

    # Visits of Rubin's Data Preview 1 in g: seeing [arcsec], sky [ADU at a gain of 1.6], zero point, magLim,
    # from the sample in github.com/lincc-frameworks/lightcurvelynx (MIT).
    VISITS = np.array(
        [
            (0.882, 266.0, 27.876, 25.035),
            (1.036, 294.6, 27.850, 24.796),
            (1.090, 303.4, 27.849, 24.738),
            (1.139, 296.5, 27.859, 24.707),
            (1.217, 330.7, 27.824, 24.572),
            (1.498, 271.8, 27.810, 24.425),
        ]
    )

    def test_the_formula_follows_the_depth_that_rubin_measured(self) -> None:
        lsst = load_survey("lsst")
        seeing, sky, zp, measured = self.VISITS.T
        formula = limiting_magnitude(seeing / 0.2, sky, zp, 30.0, 1.6, 9.0)
        np.testing.assert_allclose(measured - formula, lsst.weather.depth_offset, atol=0.05)

    @given(
        fwhm=st.floats(1.0, 20.0),
        sky=st.floats(1.0, 1e5),
        rdnoise=st.floats(0.1, 30.0),
        factor=st.floats(1.1, 5.0),
    )
    @settings(max_examples=50, deadline=None)
    def test_worse_conditions_never_see_fainter(
        self, fwhm: float, sky: float, rdnoise: float, factor: float
    ) -> None:
        best = limiting_magnitude(fwhm, sky, 25.0, 86.0, 4.0, rdnoise)
        assert limiting_magnitude(fwhm * factor, sky, 25.0, 86.0, 4.0, rdnoise) < best
        assert limiting_magnitude(fwhm, sky * factor, 25.0, 86.0, 4.0, rdnoise) < best
        assert limiting_magnitude(fwhm, sky, 25.0, 86.0, 4.0, rdnoise, n_sigma=5.0 * factor) < best


class TestSurvey:
    @pytest.mark.parametrize("name", survey_names())
    def test_every_survey_of_the_package_loads_and_gives_conditions_it_keeps(self, name: str) -> None:
        survey = load_survey(name)
        assert survey.name == name
        kept = generate_conditions(survey, 20, np.random.default_rng(0)).max_seeing(survey.max_seeing)
        assert all(len(kept.field(field)) >= 6 for field in kept.fields)
        assert len(kept.fields) == 20

    def test_the_surveys_are_those_of_the_design(self) -> None:
        assert survey_names() == ("hits", "lsst", "ztf")

    def test_hits_has_the_detectors_of_decam(self, hits: Survey) -> None:
        cameras = camera_table(hits.cameras)
        assert len(cameras) == 47
        assert len(np.unique(cameras["ccd"])) == 47
        assert np.median(cameras["rdnoise"]) == pytest.approx(6.0, abs=0.1)
        assert cameras["gain"].min() == pytest.approx(3.74, abs=0.01)
        assert cameras["saturate"].max() == pytest.approx(51_300, abs=100)

    # Seeing in the headers and median FWHM of Gaussian fits to bright stars [arcsec], by bins of seeing.
    @pytest.mark.parametrize(
        ("seeing", "fwhm"), [(1.05, 0.86), (1.24, 1.07), (1.44, 1.29), (1.62, 1.49), (1.89, 1.70)]
    )
    def test_stars_of_hits_are_narrower_than_their_headers_say(
        self, hits: Survey, seeing: float, fwhm: float
    ) -> None:
        assert float(hits.fwhm(seeing)) == pytest.approx(fwhm, rel=0.03)

    def test_a_star_has_a_width_at_any_seeing_and_more_at_a_worse_one(self, hits: Survey) -> None:
        seeing = np.geomspace(0.05, 5.0, 500)
        width = hits.fwhm(seeing)
        assert width.min() > 0.0
        assert (np.diff(width) > 0.0).all()
        assert (width < seeing).all()

    def test_a_survey_that_gives_no_scatter_has_none(self, hits: Survey) -> None:
        plain = hits.model_dump(exclude={"place", "night", "exposure", "sky_to_background", "seeing_excess"})
        survey = Survey.model_validate(plain)
        assert survey.place == survey.night == survey.exposure == ImageScatter(fwhm=0.0)
        np.testing.assert_allclose(survey.fwhm(2.0), 2.0 * survey.seeing_to_fwhm)

    def test_an_unknown_name_is_refused_with_the_choices(self) -> None:
        with pytest.raises(UserError, match="unknown survey 'atlas': choose from hits, lsst, ztf"):
            load_survey("atlas")

    def test_a_file_of_the_users_own_is_read(self, tmp_path: Path, hits: Survey) -> None:
        path = tmp_path / "own.yaml"
        path.write_text(hits.model_dump_json().replace('"name":"hits"', '"name":"own"'))
        assert load_survey(path) == hits.model_copy(update={"name": "own"})

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('"band":"g"', '"bnd":"g"', r"band: Field required$"),
            ('"exptime":86.0', '"exptime":-1', r"exptime: Input should be greater than 0, not -1"),
            ('"gain":4.039', '"gain":0', r"cameras\.0.*gain must be above 0"),
            ("[16.0,22.8]", "[22.8,16.0]", r"magnitude_limits: .*must rise, not .*22\.8, 16\.0"),
            ("[-6.7,2.0]", "[-6.7,92.0]", r"schedule\.declinations\.1: .* less than or equal to 90, not 92"),
            ("[-6.7,2.0]", "[2.0,-6.7]", r"schedule\.declinations: .*must rise"),
            ('"kept":0.92', '"kept":1.5', r"schedule\.nights\.0\.kept: .* less than or equal to 1, not 1\.5"),
            (
                "[0.9,0.8,0.8]",
                "[0.9,0.8,1.8]",
                r"weather\.correlation\.2: .* less than or equal to 1, not 1\.8",
            ),
            ("[0.9,0.8,0.8]", "[0.9,0.8,-0.8]", r"weather\.correlation: .*no three quantities can be so"),
            (
                '"depth_scatter":0.6',
                '"depth_scatter":-1',
                r"weather\.depth_scatter: .* or equal to 0, not -1",
            ),
            ('"zp":25.145', '"zp":25.145,"seing":1', r"weather\.seing: Extra inputs are not permitted"),
            ('{"name"', "[{", r"not valid YAML"),
        ],
    )
    def test_a_wrong_file_is_named_with_its_key_and_rule_in_one_line(
        self, tmp_path: Path, hits: Survey, old: str, new: str, said: str
    ) -> None:
        path = tmp_path / "wrong.yaml"
        path.write_text(hits.model_dump_json().replace(old, new, 1))
        with pytest.raises(UserError, match=rf"wrong\.yaml: {said}") as refused:
            load_survey(path)
        assert "\n" not in str(refused.value)

    def test_a_camera_is_refused_with_a_negative_number(self) -> None:
        with pytest.raises(ValueError, match="saturate must be above 0, not -1"):
            Camera(pixscale=0.27, gain=4.0, rdnoise=6.0, saturate=-1.0, ccd="1")


def _nights_between_visits(conditions: ConditionsTable) -> NDArray[np.float64]:
    nights = [np.unique(np.floor(conditions.field(name)["mjd"] - 0.5)) for name in conditions.fields]
    return np.concatenate([np.diff(of_field) for of_field in nights])


class TestForecast:
    def test_the_same_seed_gives_the_same_season(self, hits: Survey) -> None:
        first, second = (generate_conditions(hits, 5, np.random.default_rng(7)).rows for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_fields_have_as_many_epochs_as_those_of_hits(self, season: ConditionsTable) -> None:
        _, counts = np.unique(season.rows["field"], return_counts=True)
        assert np.median(counts) == 27
        assert counts.min() >= 22
        assert counts.max() == 29

    # 5, 50 and 95 % of the g exposures of HiTS 2015, and how far off a generated season may be: a season
    # has eleven nights of weather, so the real percentiles are themselves uncertain.
    @pytest.mark.parametrize(
        ("column", "real", "tolerance"),
        [
            ("seeing", (1.06, 1.34, 2.70), 0.25),
            ("airmass", (1.11, 1.27, 1.83), 0.03),
            ("zp", (24.91, 25.05, 25.11), 0.08),
        ],
    )
    def test_a_season_is_distributed_as_hits_was(
        self, season: ConditionsTable, column: str, real: tuple[float, ...], tolerance: float
    ) -> None:
        np.testing.assert_allclose(np.percentile(season.rows[column], [5, 50, 95]), real, atol=tolerance)

    def test_the_sky_and_the_depth_are_distributed_as_in_hits(self, season: ConditionsTable) -> None:
        sky, depth = season.rows["sky"], season.rows["limmag"]
        np.testing.assert_allclose(np.percentile(sky, [5, 50, 95]), (105, 120, 591), rtol=0.05)
        assert np.median(depth) == pytest.approx(23.6, abs=0.1)

    # Rank correlations over the 1,341 g exposures of HiTS 2015, which are of eleven nights only.
    @pytest.mark.parametrize(
        ("first", "second", "real"),
        [
            ("seeing", "sky", 0.60),
            ("seeing", "zp", -0.70),
            ("seeing", "limmag", -0.61),
            ("seeing", "airmass", 0.42),
            ("sky", "zp", -0.58),
            ("sky", "limmag", -0.47),
            ("sky", "airmass", 0.40),
            ("zp", "limmag", 0.51),
            ("zp", "airmass", -0.80),
            ("limmag", "airmass", -0.33),
        ],
    )
    def test_conditions_go_together_as_in_hits(
        self, season: ConditionsTable, first: str, second: str, real: float
    ) -> None:
        correlation = spearmanr(season.rows[first], season.rows[second]).statistic
        assert correlation == pytest.approx(real, abs=0.2)

    def test_exposures_of_a_night_share_its_weather(self, season: ConditionsTable) -> None:
        """Over fields, each with weather of its own, seeing goes together within a night only."""
        first, later, other = [], [], []
        for name in season.fields:
            seeing = np.log(season.field(name)["seeing"])
            night = np.floor(season.field(name)["mjd"])
            first.append(seeing[night == 57071][0])
            later.append(seeing[night == 57071][-1])
            other.append(seeing[night == 57072][0])
        assert np.corrcoef(first, later)[0, 1] > 0.7
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.25

    def test_the_airmass_is_that_of_a_field_of_hits(self, hits: Survey) -> None:
        """Field 01 on MJD 57071: 1.64, 1.19, 1.09, 1.19, 1.64 as it rose, culminated and set."""
        hours = (0.80, 2.50, 4.10, 5.76, 7.44)
        night = hits.schedule.nights[1].model_copy(update={"days": (1,), "hours": hours, "kept": 1.0})
        plan = {"nights": (night,), "declinations": (-6.46, -6.459), "transit": 4.18, "round": 1e-6}
        survey = hits.model_copy(update={"schedule": hits.schedule.model_copy(update=plan)})
        epochs = generate_conditions(survey, 1, np.random.default_rng(0)).field("hits-00000")
        np.testing.assert_allclose(epochs["airmass"], (1.64, 1.19, 1.09, 1.19, 1.64), atol=0.015)

    # 5, 25, 50, 75 and 95 % of the g visits of Rubin's Data Preview 1, as survey/configs/lsst.yaml says.
    @pytest.mark.parametrize(
        ("column", "real", "tolerance"),
        [
            ("seeing", (0.86, 1.04, 1.12, 1.22, 1.58), 0.08),
            ("sky", (247, 273, 288, 298, 323), 8.0),
            ("zp", (27.73, 27.84, 27.86, 27.87, 27.88), 0.02),
            ("limmag", (24.37, 24.65, 24.73, 24.82, 25.04), 0.1),
        ],
    )
    def test_lsst_has_the_conditions_of_real_visits(
        self, visits_of_lsst: ConditionsTable, column: str, real: tuple[float, ...], tolerance: float
    ) -> None:
        quantiles = np.percentile(visits_of_lsst.rows[column], [5, 25, 50, 75, 95])
        np.testing.assert_allclose(quantiles, real, atol=tolerance)

    def test_seeing_and_depth_of_lsst_go_together_as_in_real_visits(
        self, visits_of_lsst: ConditionsTable
    ) -> None:
        seeing, depth = visits_of_lsst.rows["seeing"], visits_of_lsst.rows["limmag"]
        assert np.corrcoef(seeing, depth)[0, 1] == pytest.approx(-0.89, abs=0.05)

    def test_lsst_comes_back_as_its_first_survey_did(self, visits_of_lsst: ConditionsTable) -> None:
        """Nights between visits in g within a degree, of the science validation survey of 2025."""
        gaps = _nights_between_visits(visits_of_lsst)
        np.testing.assert_allclose(np.percentile(gaps, [5, 25, 50, 75, 95]), (1, 2, 4, 7, 14), atol=1.0)

    def test_ztf_is_as_deep_and_comes_back_as_often_as_published(self) -> None:
        """Bellm et al. 2019: medians of 20.8 mag and about 2 arcsec; every third night."""
        visits = generate_conditions(load_survey("ztf"), 100, np.random.default_rng(2))
        assert np.median(visits.rows["limmag"]) == pytest.approx(20.8, abs=0.1)
        assert np.median(visits.rows["seeing"]) == pytest.approx(2.1, abs=0.15)
        assert np.median(_nights_between_visits(visits)) == 3.0

    def test_a_lower_zero_point_costs_as_much_depth(self, hits: Survey, season: ConditionsTable) -> None:
        shifted = perturb(season, hits, zp_shift=-0.3)
        np.testing.assert_allclose(shifted.rows["limmag"], season.rows["limmag"] - 0.3)

    def test_wider_seeing_and_brighter_sky_cost_depth(self, hits: Survey, season: ConditionsTable) -> None:
        shifted = perturb(season, hits, seeing_factor=1.3, sky_factor=1.5)
        np.testing.assert_allclose(shifted.rows["seeing"], 1.3 * season.rows["seeing"])
        np.testing.assert_allclose(shifted.rows["sky"], 1.5 * season.rows["sky"])
        # The background dominates: noise goes as the width of a star and the root of the sky.
        wider = hits.fwhm(shifted.rows["seeing"]) / hits.fwhm(season.rows["seeing"])
        expected = -2.5 * np.log10(wider * np.sqrt(1.5))
        change = shifted.rows["limmag"] - season.rows["limmag"]
        np.testing.assert_allclose(change, expected, atol=0.06)

    def test_perturbing_leaves_the_original_alone(self, hits: Survey, season: ConditionsTable) -> None:
        before = season.rows.copy()
        perturb(season, hits, seeing_factor=2.0, sky_factor=2.0, zp_shift=1.0)
        np.testing.assert_array_equal(season.rows, before)
