"""Light-curve features against feets, astropy and slow literal definitions."""

from __future__ import annotations

import warnings
from typing import Any

import feets
import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.stats import multivariate_normal, norm

from astroreel.photometry import autoregressive, periodic
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.features import (
    UNDEFINED,
    feature_names,
    features,
    features_by_epoch,
)

#: Ours: feets's extractor, its parameters and the name of its value.
SAME_IN_FEETS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Amplitude": ("Amplitude", {}, "Amplitude"),
    "AndersonDarling": ("AndersonDarling", {}, "AndersonDarling"),
    "Autocor_length": ("AutocorLength", {}, "Autocor_length"),
    "Beyond1Std": ("BeyondNStd", {}, "BeyondNStd"),
    "Con": ("Con", {}, "Con"),
    "Eta_e": ("EtaE", {}, "EtaE"),
    "FluxPercentileRatioMid20": ("PercentageRatio", {}, "PercentageRatio"),
    "FluxPercentileRatioMid35": ("PercentageRatio", {"quantile_numerator": 0.325}, "PercentageRatio"),
    "FluxPercentileRatioMid50": ("PercentageRatio", {"quantile_numerator": 0.25}, "PercentageRatio"),
    "FluxPercentileRatioMid65": ("PercentageRatio", {"quantile_numerator": 0.175}, "PercentageRatio"),
    "FluxPercentileRatioMid80": ("PercentageRatio", {"quantile_numerator": 0.1}, "PercentageRatio"),
    "LinearTrend": ("LinearTrend", {}, "LinearTrend"),
    "MaxSlope": ("MaxSlope", {}, "MaxSlope"),
    "Mean": ("Mean", {}, "Mean"),
    "Meanvariance": ("MeanVariance", {}, "MeanVariance"),
    "MedianAbsDev": ("MedianAbsDev", {}, "MedianAbsDev"),
    "MedianBRP": ("MedianBRP", {"quantile": 0.2}, "MedianBRP"),
    "PairSlopeTrend": ("PairSlopeTrend", {}, "PairSlopeTrend"),
    "PercentDifferenceFluxPercentile": ("PercentDiffPercentile", {}, "PercentDiffPercentile"),
    "Rcs": ("RCS", {}, "Rcs"),
    "Skew": ("Skew", {}, "Skew"),
    "SlottedA_length": ("SlottedALength", {}, "SlottedALength"),
    "SmallKurtosis": ("SmallKurtosis", {}, "SmallKurtosis"),
    "Std": ("Std", {}, "Std"),
    "StetsonK": ("StetsonK", {}, "StetsonK"),
    "StetsonK_AC": ("StetsonKAC", {}, "StetsonK_AC"),
}


def random_curves(rng: np.random.Generator, lengths: list[int], period: float = 0.7) -> LightCurves:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mjd = np.concatenate([np.sort(rng.uniform(57070, 57095, n)) for n in lengths] or [np.empty(0)])
    wave = 150 * np.sin(2 * np.pi * mjd / period)
    error = rng.uniform(30, 90, len(mjd))
    return LightCurves(offsets, mjd, 1_000 + wave + rng.normal(0, error), error)


def columns(table: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(feature_names(), table.T, strict=True))


def by_feets(name: str, curves: LightCurves) -> list[float]:
    """Called extractor by extractor: feets 1.0.1's own loop hands 1/error**2 on as the error."""
    extractor, parameters, value = SAME_IN_FEETS[name]
    instance = getattr(feets.extractors, extractor)(**parameters)
    wanted = instance.get_data()
    values = []
    for start, stop in zip(curves.offsets[:-1], curves.offsets[1:], strict=True):
        part = slice(start, stop)
        data = {"time": curves.mjd[part], "magnitude": curves.flux[part], "error": curves.error[part]}
        values.append(float(instance.extract(**{key: data[key] for key in data if key in wanted})[value]))
    return values


@pytest.mark.parametrize("name", SAME_IN_FEETS)
def test_common_features_are_those_of_feets(name: str) -> None:
    curves = random_curves(np.random.default_rng(1), [6, 7, 10, 15, 22, 22, 30, 45])
    np.testing.assert_allclose(columns(features(curves))[name], by_feets(name, curves), rtol=1e-9, atol=1e-12)


def test_features_that_no_feets_extractor_shares_are_their_literal_definitions() -> None:
    curves = random_curves(np.random.default_rng(2), [22])
    flux, value = curves.flux, {k: v[0] for k, v in columns(features(curves)).items()}
    median = np.median(flux)
    assert value["PercentAmplitude"] == pytest.approx(np.abs(flux - median).max() / median)
    low, high = np.percentile(flux, [25, 75], method="hazen")
    assert value["Q31"] == pytest.approx(high - low)
    order = np.argsort(np.mod(curves.mjd - curves.mjd[0], 2 * value["PeriodLS"]))
    folded = flux[order] - flux.mean()
    total = np.cumsum(folded) / (len(flux) * flux.std())
    assert value["Psi_CS"] == pytest.approx(total.max() - total.min())
    eta = np.sum(np.diff(folded) ** 2) / ((len(flux) - 1) * flux.var())
    assert value["Psi_eta"] == pytest.approx(eta)


def test_the_period_and_its_false_alarm_probability_are_astropys() -> None:
    curves = random_curves(np.random.default_rng(3), [12, 18, 22, 22])
    value = columns(features(curves))
    for i in range(len(curves)):
        part = slice(curves.offsets[i], curves.offsets[i + 1])
        time, flux = curves.mjd[part] - curves.mjd[part][0], curves.flux[part]
        span, count = np.ptp(time), len(time)
        grid = np.arange(1, periodic.OVERSAMPLING * periodic.NYQUIST_FACTOR * (count - 1) // 2 + 1)
        frequency = grid / (periodic.OVERSAMPLING * span)
        model = LombScargle(time, flux)
        power = model.power(frequency, method="slow")
        found = 1 / value["PeriodLS"][i]
        assert model.power(found, method="slow") == pytest.approx(power.max(), abs=1e-4)
        expected = model.false_alarm_probability(power.max(), maximum_frequency=frequency[-1])
        assert value["Period_fit"][i] == pytest.approx(expected, rel=0.02, abs=1e-6)


def test_harmonics_are_those_of_one_fit_after_the_other() -> None:
    curves = random_curves(np.random.default_rng(4), [22])
    value = {k: v[0] for k, v in columns(features(curves)).items()}
    time, left = curves.mjd - curves.mjd[0], curves.flux.copy()
    frequency = 1 / value["PeriodLS"]
    for harmonic in range(4):
        phase = 2 * np.pi * frequency * (harmonic + 1) * time

        def wave(angle: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
            return a * np.sin(angle) + b * np.cos(angle) + c

        best, _ = curve_fit(wave, phase, left)
        left = left - wave(phase, *best)
        expected = np.hypot(best[0], best[1])
        assert value[f"Freq1_harmonics_amplitude_{harmonic}"] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    second = LombScargle(time, left).power(1 / np.linspace(0.1, 20, 4000)).max()
    assert value["Freq2_harmonics_amplitude_0"] > 0.5 * np.sqrt(2 * second) * left.std()


@pytest.mark.parametrize("period", [0.35, 0.6, 1.3, 4.0])
def test_the_period_of_a_clear_sinusoid_is_found(period: float) -> None:
    rng = np.random.default_rng(5)
    curves = random_curves(rng, [22] * 40, period)
    clear = LightCurves(
        curves.offsets, curves.mjd, 1000 + 400 * np.sin(2 * np.pi * curves.mjd / period), curves.error
    )
    found = columns(features(clear))["PeriodLS"]
    assert (np.abs(found / period - 1) < 0.05).mean() > 0.85


def autoregressive_curves(n: int, epochs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, fluxes and errors of processes that feets's bounds hold, (n, epochs) each."""
    rng = np.random.default_rng(1)
    time = np.sort(rng.uniform(0, 25, (n, epochs)), axis=1)
    error = rng.uniform(3, 6, time.shape)
    tau, sigma = np.exp(rng.uniform(np.log(0.5), np.log(5), n)), rng.uniform(10, 40, n)
    flux = np.empty_like(time)
    flux[:, 0] = rng.normal(0, sigma * np.sqrt(tau / 2))
    for i in range(1, epochs):
        memory = np.exp(-(time[:, i] - time[:, i - 1]) / tau)
        fresh = rng.normal(0, sigma * np.sqrt(tau / 2 * (1 - memory**2)))
        flux[:, i] = memory * flux[:, i - 1] + fresh
    return time, 500 + flux + rng.normal(0, error), error


def test_the_autoregressive_process_is_that_of_feets_where_its_bounds_hold_it() -> None:
    time, flux, error = autoregressive_curves(50, 22)
    curves = LightCurves(np.arange(51) * 22, time.ravel(), flux.ravel(), error.ravel())
    ours = columns(features(curves))
    extract = feets.extractors.CAR().extract
    theirs = [extract(magnitude=x, time=t, error=e) for t, x, e in zip(time, flux, error, strict=True)]
    expected = {name: np.array([each[name] for each in theirs]) for name in theirs[0]}
    for name, tolerance in (("CAR_tau", 0.1), ("CAR_sigma", 0.05), ("CAR_mean", 0.1)):
        np.testing.assert_allclose(ours[name], expected[name], rtol=tolerance)

    def deviance(value: dict[str, np.ndarray]) -> np.ndarray:
        tau, away = value["CAR_tau"], flux - flux.mean(axis=1, keepdims=True)
        power = tau * value["CAR_sigma"] ** 2 / 2
        return autoregressive.deviance(tau, power, np.diff(time).T, away.T, error.T**2)

    assert (deviance(ours) < deviance(expected) + 0.02).all()


def test_the_likelihood_of_an_autoregressive_process_is_that_of_its_covariance() -> None:
    time, flux, error = (values[0] for values in autoregressive_curves(1, 9))
    away, tau, power = flux - flux.mean(), np.array([1.3]), np.array([400.0])
    ours = autoregressive.deviance(
        tau, power, np.diff(time)[:, None], away[:, None], error[:, None] ** 2
    ).item()
    covariance = power * np.exp(-np.abs(time[:, None] - time) / tau) + np.diag(error**2)
    whole = -2 * multivariate_normal(cov=covariance).logpdf(away)
    first = -2 * norm(scale=np.sqrt(covariance[0, 0])).logpdf(away[0])
    assert ours == pytest.approx(whole - first - 8 * np.log(2 * np.pi))


def test_the_names_are_the_appendixs_without_what_is_left_out() -> None:
    names = feature_names()
    assert len(names) == len(set(names)) == 47
    assert not set(names) & {"Color", "Eta_color", "Q31_color", "StetsonJ", "StetsonL"}


@pytest.mark.parametrize("length", range(7))
def test_short_curves_have_finite_features(length: int) -> None:
    table = features(random_curves(np.random.default_rng(6), [length, 22, length]))
    assert table.shape == (3, len(feature_names()))
    assert np.isfinite(table).all()
    if length == 1:
        assert columns(table)["Std"][0] == UNDEFINED
    if length < periodic.MIN_EPOCHS:
        assert columns(table)["PeriodLS"][0] == UNDEFINED


def test_a_curve_of_a_thousand_epochs_has_finite_features() -> None:
    table = features(random_curves(np.random.default_rng(12), [1_000, 22]))
    assert np.isfinite(table).all()
    assert columns(table)["Freq1_harmonics_amplitude_0"][0] > 0


def test_a_constant_curve_has_finite_features() -> None:
    curves = LightCurves(np.array([0, 8]), np.arange(8.0), np.full(8, 250.0), np.ones(8))
    value = columns(features(curves))
    assert value["Mean"][0] == 250.0 and value["Std"][0] == 0.0
    assert all(np.isfinite(column).all() for column in value.values())


def test_epochs_that_were_not_measured_change_nothing() -> None:
    curves = random_curves(np.random.default_rng(7), [15])
    flux, error = np.insert(curves.flux, 6, np.nan), np.insert(curves.error, 6, np.inf)
    mjd = np.insert(curves.mjd, 6, (curves.mjd[5] + curves.mjd[6]) / 2)
    holed = LightCurves(np.array([0, 16]), mjd, flux, error)
    np.testing.assert_array_equal(features(holed), features(curves))


def test_features_by_epoch_are_the_features_of_the_curves_cut_there() -> None:
    curves = random_curves(np.random.default_rng(8), [9, 22, 3, 30])
    table = features_by_epoch(curves, [1, 5, 22])
    assert table.shape == (4, 3, len(feature_names()))
    for k, n in enumerate([1, 5, 22]):
        np.testing.assert_array_equal(table[:, k], features(curves.first(n)))
    np.testing.assert_array_equal(table[2, 1], table[2, 2])


def test_features_of_a_curve_do_not_depend_on_the_curves_beside_it() -> None:
    curves = random_curves(np.random.default_rng(9), [14] * 60 + [22] * 60)
    together = features(curves)
    alone = np.concatenate([features(curves.select([i])) for i in range(0, 120, 7)])
    np.testing.assert_array_equal(together[::7], alone)


def test_no_curves_have_no_features() -> None:
    empty = LightCurves(np.array([0]), np.empty(0), np.empty(0), np.empty(0))
    assert features(empty).shape == (0, len(feature_names()))
    assert features_by_epoch(empty, [1, 2]).shape == (0, 2, len(feature_names()))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), length=st.integers(1, 25))
def test_features_are_finite_and_fit_single_precision_whatever_the_fluxes(
    data: st.DataObject, length: int
) -> None:
    flux = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=length, max_size=length))
    gaps = data.draw(st.lists(st.floats(1e-3, 100.0), min_size=length, max_size=length))
    curves = LightCurves(
        np.array([0, length]), 57070 + np.cumsum(gaps), np.array(flux, float), np.full(length, 10.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = features(curves)
    assert np.isfinite(table.astype(np.float32)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-3_000, 3_000))
def test_features_do_not_depend_on_when_the_curve_was_taken(seed: int, shift: float) -> None:
    curves = random_curves(np.random.default_rng(seed), [14])
    moved = LightCurves(curves.offsets, curves.mjd + shift, curves.flux, curves.error)
    first, second = columns(features(curves)), columns(features(moved))
    for name in first:
        assert second[name][0] == pytest.approx(first[name][0], rel=1e-4, abs=1e-4), name
